-- Who may undelete some doctors lists these with the others, by name too: without these indexes all
-- of a member of staff's doctors would be sorted for each page.
CREATE INDEX doctors_owner_id_last_name_idx ON doctors (owner_id, last_name_key, id);
CREATE INDEX doctors_owner_id_first_name_idx ON doctors (owner_id, first_name_key, id);
