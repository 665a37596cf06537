-- Which doctor treats which patient. Who owns the patient and whose accounts the two are is copied
-- from records when the assignment is made, where it never changes: so whether a caller may see a
-- row is a condition on the row, and no page is read from elsewhere first.
--
-- Text that was not given is '', so that NULL means one thing: no owner, no account, not ended.

CREATE TABLE assignments (
    id uuid PRIMARY KEY,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    patient_id uuid NOT NULL,
    doctor_id uuid NOT NULL,
    patient_owner_id uuid,
    patient_user_id uuid,
    doctor_user_id uuid,
    assigned_by uuid NOT NULL,
    reason_for_visit text NOT NULL,
    notes text NOT NULL,
    ended boolean NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    CHECK (ended = (ended_at IS NOT NULL))
);

-- One assignment in force per patient and doctor; ended ones are kept.
CREATE UNIQUE INDEX assignments_patient_id_doctor_id_key ON assignments (patient_id, doctor_id)
    WHERE NOT ended;

-- Each list is one range for each status: what it is restricted to, the status, and the order. So
-- the few assignments in force are found without passing the many that have ended.
CREATE INDEX assignments_ended_id_idx ON assignments (ended, id);
CREATE INDEX assignments_doctor_user_id_idx ON assignments (doctor_user_id, ended, id);
CREATE INDEX assignments_doctor_id_idx ON assignments (doctor_id, ended, id);
CREATE INDEX assignments_patient_owner_id_idx ON assignments (patient_owner_id, ended, id);
-- A doctor's patients among those of a member of staff: both alone may be many.
CREATE INDEX assignments_patient_owner_id_doctor_id_idx
    ON assignments (patient_owner_id, doctor_id, ended, id);
CREATE INDEX assignments_patient_user_id_idx ON assignments (patient_user_id, ended, id);
CREATE INDEX assignments_patient_id_idx ON assignments (patient_id, ended, id);

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
