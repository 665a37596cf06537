-- The key that page tokens are encrypted with: one row, which the first start makes (clinic-store,
-- page).
CREATE TABLE page_keys (
    id bigint PRIMARY KEY,
    key bytea NOT NULL
);
