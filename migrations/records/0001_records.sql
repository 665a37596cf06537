-- Patients and doctors. Text that was not given is '', so that NULL means one thing: no such date,
-- no owner, no account, not deleted.
--
-- *_name_key is the name in lower case, as bytes: a prefix is a range of bytes, which an index
-- serves alike on every database, whatever its collation. Each list has an index that begins with
-- what the list is restricted to and ends with what it is ordered by.

CREATE TABLE patients (
    id uuid PRIMARY KEY,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    owner_id uuid,
    user_id uuid,
    first_name text NOT NULL,
    first_name_key bytea NOT NULL,
    last_name text NOT NULL,
    last_name_key bytea NOT NULL,
    date_of_birth date,
    gender text NOT NULL,
    phone_number text NOT NULL,
    email text NOT NULL,
    address text NOT NULL,
    medical_history text NOT NULL
);

-- One record for an account, and the way to `me`.
CREATE UNIQUE INDEX patients_user_id_key ON patients (user_id)
    WHERE user_id IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX patients_owner_id_id_idx ON patients (owner_id, id);
CREATE INDEX patients_owner_id_last_name_idx ON patients (owner_id, last_name_key, id);
CREATE INDEX patients_owner_id_first_name_idx ON patients (owner_id, first_name_key, id);
CREATE INDEX patients_last_name_idx ON patients (last_name_key, id);
CREATE INDEX patients_first_name_idx ON patients (first_name_key, id);

CREATE TABLE doctors (
    id uuid PRIMARY KEY,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    owner_id uuid,
    user_id uuid,
    first_name text NOT NULL,
    first_name_key bytea NOT NULL,
    last_name text NOT NULL,
    last_name_key bytea NOT NULL,
    specialization text NOT NULL,
    specialization_key text NOT NULL,
    license_number text NOT NULL,
    license_key text NOT NULL,
    qualifications text NOT NULL,
    years_of_experience bigint NOT NULL,
    consultation_fee text NOT NULL,
    available boolean NOT NULL,
    phone_number text NOT NULL,
    email text NOT NULL,
    verified boolean NOT NULL DEFAULT FALSE
);

CREATE UNIQUE INDEX doctors_user_id_key ON doctors (user_id)
    WHERE user_id IS NOT NULL AND deleted_at IS NULL;
CREATE UNIQUE INDEX doctors_license_key_key ON doctors (license_key) WHERE deleted_at IS NULL;
-- The deleted doctors of a member of staff.
CREATE INDEX doctors_owner_id_id_idx ON doctors (owner_id, id);
CREATE INDEX doctors_last_name_idx ON doctors (last_name_key, id);
CREATE INDEX doctors_first_name_idx ON doctors (first_name_key, id);
CREATE INDEX doctors_available_id_idx ON doctors (available, id);
CREATE INDEX doctors_specialization_id_idx ON doctors (specialization_key, id);
CREATE INDEX doctors_specialization_available_id_idx
    ON doctors (specialization_key, available, id);
CREATE INDEX doctors_specialization_last_name_idx
    ON doctors (specialization_key, last_name_key, id);
CREATE INDEX doctors_specialization_first_name_idx
    ON doctors (specialization_key, first_name_key, id);

-- Creates that may be sent twice (clinic-store, idempotency).
CREATE TABLE requests (
    caller uuid NOT NULL,
    method text NOT NULL,
    request_id uuid NOT NULL,
    payload_hash bytea NOT NULL,
    resource_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (caller, method, request_id)
);

CREATE INDEX requests_created_at_idx ON requests (created_at);
