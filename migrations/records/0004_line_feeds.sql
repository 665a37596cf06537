-- Text has line feeds only, as the contract says: a carriage return was accepted before, and a record
-- that has one could not be sent back as it was read. The character between the quotes that look
-- empty is a carriage return (no function makes one in both databases).
UPDATE patients SET address = replace(replace(address, '' || '
', '
'), '', '
'), medical_history = replace(replace(medical_history, '' || '
', '
'), '', '
'), version = version + 1
    WHERE address LIKE '%%' OR medical_history LIKE '%%';
UPDATE doctors SET qualifications = replace(replace(qualifications, '' || '
', '
'), '', '
'), version = version + 1
    WHERE qualifications LIKE '%%';
