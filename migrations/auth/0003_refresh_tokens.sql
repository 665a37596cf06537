-- A session keeps the refresh token that it can go on with, as its SHA-256, so that a sign-in is one
-- row. Null where the token had expired and been forgotten before.
ALTER TABLE sessions ADD COLUMN refresh_hash bytea;
UPDATE sessions SET refresh_hash =
    (SELECT hash FROM refresh_tokens WHERE session_id = sessions.id AND used_at IS NULL);
CREATE UNIQUE INDEX sessions_refresh_hash_key ON sessions (refresh_hash);

-- Those that were used, which must not come back. A token's successor is derived from the token and
-- the salt that it got here: whoever holds the token can have the same successor again, and nobody
-- can make it from what is stored.
CREATE TABLE used_refresh_tokens (
    hash bytea PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    used_at timestamptz NOT NULL,
    successor_salt bytea NOT NULL,
    -- When the row may go: a token's life after its use, when it could not be used any more anyway.
    expires_at timestamptz NOT NULL
);
INSERT INTO used_refresh_tokens (hash, session_id, used_at, successor_salt, expires_at)
    SELECT hash, session_id, used_at, successor_salt, expires_at
    FROM refresh_tokens WHERE used_at IS NOT NULL;
DROP TABLE refresh_tokens;
CREATE INDEX used_refresh_tokens_session_id_idx ON used_refresh_tokens (session_id);
CREATE INDEX used_refresh_tokens_expires_at_idx ON used_refresh_tokens (expires_at);
