-- Accounts.
CREATE TABLE users (
    id uuid PRIMARY KEY,
    email text NOT NULL,
    -- In lower case, by which it is unique and found.
    email_key text NOT NULL,
    username text,
    username_key text,
    name text NOT NULL,
    -- A PHC string, which says with which parameters it was made.
    password_hash text NOT NULL,
    -- The bit 1 << number of each role of clinic.access.v1.Role.
    roles bigint NOT NULL,
    active boolean NOT NULL,
    email_verified boolean NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX users_email_key_key ON users (email_key);
CREATE UNIQUE INDEX users_username_key_key ON users (username_key);
-- Whether there is an active ADMIN (bit 1 << 1) must not depend on how many accounts there are.
CREATE INDEX users_admins_idx ON users (id) WHERE active AND (roles & 2) <> 0;

-- One row, which everyone locks who might take the last ADMIN away: two administrators who remove
-- each other at once come one after the other.
CREATE TABLE admin_guard (
    id bigint PRIMARY KEY,
    changes bigint NOT NULL
);
INSERT INTO admin_guard (id, changes) VALUES (1, 0);

-- Sign-ins. All refresh tokens that follow from one sign-in are one family: its session.
CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id),
    created_at timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    user_agent text NOT NULL,
    client_ip text NOT NULL
);
CREATE INDEX sessions_alive_idx ON sessions (user_id, id) WHERE revoked_at IS NULL;
CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);

-- Refresh tokens, as their SHA-256. A token's successor is derived from the token and the salt that
-- its row got when it was used: whoever holds the token can have the same successor again, and
-- nobody can make it from what is stored.
CREATE TABLE refresh_tokens (
    hash bytea PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    successor_salt bytea
);
CREATE INDEX refresh_tokens_session_id_idx ON refresh_tokens (session_id);
CREATE INDEX refresh_tokens_expires_at_idx ON refresh_tokens (expires_at);
