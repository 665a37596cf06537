-- Every record has a version that each change raises: changes of sessions are told to those who follow
-- them, and they compare versions.
ALTER TABLE sessions ADD COLUMN version bigint NOT NULL DEFAULT 1;
