-- A merchant's category can be changed, and what becomes of name, category and zone is kept with who and when.

CREATE TABLE loyalty.merchant_change (
    change     bigint GENERATED ALWAYS AS IDENTITY,
    merchant   uuid        NOT NULL REFERENCES loyalty.merchant,
    field      text        NOT NULL,            -- name, category or zone
    before     text        NOT NULL,
    after      text        NOT NULL,
    changed_by text        NOT NULL,            -- the operator's name
    changed_at timestamptz NOT NULL,            -- business time
    CONSTRAINT merchant_change_once PRIMARY KEY (change),
    CONSTRAINT merchant_change_field CHECK (field IN ('name', 'category', 'zone')),
    CONSTRAINT merchant_change_differs CHECK (before <> after)
);
CREATE INDEX merchant_change_of ON loyalty.merchant_change (merchant, change);

-- A purchase is counted under the category of its time, also when it comes back. Null: recorded before this column was there,
-- which was before any category could be changed, so that the merchant's first one counts.
ALTER TABLE loyalty.purchase ADD COLUMN merchant_category text;

GRANT UPDATE (category) ON loyalty.merchant TO hunch_app;
GRANT SELECT, INSERT ON loyalty.merchant_change TO hunch_app;
