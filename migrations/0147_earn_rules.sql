-- Earn rules are a history: a new one begins now or later and stands until the next begins. None is changed or removed, for which
-- the application has no right either.

ALTER TABLE loyalty.earn_rule
    ADD COLUMN made_at timestamptz,             -- business time; unknown of rules from before
    -- Rows of before are not read again. The first rule of a merchant is there from the beginning of time.
    ADD CONSTRAINT earn_rule_not_backdated CHECK (made_at IS NOT NULL AND (valid_from >= made_at OR valid_from = '2000-01-01T00:00:00Z')) NOT VALID,
    ADD CONSTRAINT earn_rule_bounds CHECK (points_per_unit <= 1000000000 AND per_cents <= 1000000000
                                           AND points_per_visit <= 1000000000 AND points_max <= 1000000000) NOT VALID;

GRANT UPDATE (name, zone) ON loyalty.merchant TO hunch_app;
