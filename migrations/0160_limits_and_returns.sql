-- An exclusion does not end by itself: after its term it goes on until the member has asked to return and 24 hours
-- have passed. A raise of a limit waits for 72 hours since that limit was last set, so it must be known when that was.

ALTER TABLE safeguards.standing
    ADD COLUMN return_asked_at timestamptz,     -- business time; null: has not asked to return since the last exclusion
    ADD COLUMN day_set_at      timestamptz,     -- business time at which the member last set the day's limit
    ADD COLUMN week_set_at     timestamptz;

-- A day's limit above the week's never counted for more than the week's.
UPDATE safeguards.standing SET day_points = week_points WHERE day_points > week_points;
UPDATE safeguards.standing SET raise_day = raise_week WHERE raise_day > raise_week;

ALTER TABLE safeguards.standing
    ADD CONSTRAINT standing_limits_agree CHECK (day_points <= week_points),
    ADD CONSTRAINT standing_raise_agrees CHECK (raise_day <= raise_week),
    -- Nobody asks to return before the term is over.
    ADD CONSTRAINT standing_return CHECK (return_asked_at IS NULL OR (excluded_until IS NOT NULL AND return_asked_at >= excluded_until));

-- Every request to return from an exclusion, for proof. Append-only.
CREATE TABLE safeguards.return_request (
    id          bigint GENERATED ALWAYS AS IDENTITY,
    member      uuid        NOT NULL,
    term_ended  timestamptz NOT NULL,           -- business time
    asked_at    timestamptz NOT NULL,           -- business time
    counts_from timestamptz NOT NULL,           -- business time; the member may stake again from then on
    CONSTRAINT return_request_once PRIMARY KEY (id),
    CONSTRAINT return_request_waits CHECK (asked_at >= term_ended AND counts_from >= asked_at + interval '24 hours')
);
CREATE INDEX return_request_of_member ON safeguards.return_request (member, asked_at);
GRANT SELECT, INSERT ON safeguards.return_request TO hunch_app;
