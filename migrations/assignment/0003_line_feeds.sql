-- Text has line feeds only, as the contract says: a carriage return was accepted before, and a record
-- that has one could not be sent back as it was read. The character between the quotes that look
-- empty is a carriage return (no function makes one in both databases).
UPDATE assignments SET reason_for_visit = replace(replace(reason_for_visit, '' || '
', '
'), '', '
'), notes = replace(replace(notes, '' || '
', '
'), '', '
'), version = version + 1
    WHERE reason_for_visit LIKE '%%' OR notes LIKE '%%';
