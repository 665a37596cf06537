-- One row that readiness checks write to while nothing else is written (clinic-store, Db::check).
CREATE TABLE heartbeat (
    id bigint PRIMARY KEY,
    beats bigint NOT NULL
);
INSERT INTO heartbeat (id, beats) VALUES (1, 0);
