-- Registrations that bring a profile along, from before records is asked for it until the account is
-- made in the same transaction that deletes the row. A row without an end says that records may keep
-- a profile that belongs to nobody.
CREATE TABLE registrations (
    -- Of the account to be.
    user_id uuid PRIMARY KEY,
    email_key text NOT NULL,
    -- `patient` or `doctor`.
    kind text NOT NULL,
    -- The profile, encoded: sent again, it finds what the first one made.
    profile bytea NOT NULL,
    -- Somebody is taking the profile back: the account must not be made any more.
    abandoned boolean NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX registrations_email_key_idx ON registrations (email_key);
CREATE INDEX registrations_created_at_idx ON registrations (created_at);
