-- Purchases whose points wait for a person's decision, and why.

-- A till can be watched: its purchases' points wait for a decision.
ALTER TABLE loyalty.terminal
    ADD COLUMN watched_since timestamptz,       -- business time; null while it is not watched
    ADD COLUMN watched_by    text,              -- operator
    ADD COLUMN watched_why   text,
    ADD CONSTRAINT terminal_watched CHECK ((watched_since IS NULL) = (watched_by IS NULL) AND (watched_since IS NULL) = (watched_why IS NULL));

-- A purchase whose points were provisional at first. Written with the purchase by its shard's batcher; a decision, or a
-- return before it, ends it. As hot as purchases when a busy till is watched: no foreign keys, the audit looks.
CREATE TABLE loyalty.review (
    purchase   uuid        NOT NULL,
    member     uuid        NOT NULL,
    merchant   uuid        NOT NULL,
    terminal   uuid        NOT NULL,
    points     bigint      NOT NULL,
    reason     text        NOT NULL,            -- a stable word: till_watched
    since      timestamptz NOT NULL,            -- business time at which the purchase was recorded
    decision   text,
    decided_at timestamptz,
    decided_by text,                            -- operator; null when the purchase came back
    why        text,                            -- the operator's words, for the programme's own records
    CONSTRAINT review_once PRIMARY KEY (purchase),
    CONSTRAINT review_points CHECK (points > 0),
    CONSTRAINT review_decision CHECK (decision IN ('confirmed', 'taken_back', 'returned')),
    CONSTRAINT review_decided CHECK ((decision IS NULL) = (decided_at IS NULL)
        AND (coalesce(decision, 'returned') = 'returned') = (decided_by IS NULL) AND (decided_by IS NULL) = (why IS NULL))
);
CREATE INDEX review_open ON loyalty.review (since, purchase) WHERE decision IS NULL;
CREATE INDEX review_open_of_member ON loyalty.review (member, since) WHERE decision IS NULL;
GRANT SELECT, INSERT ON loyalty.review TO hunch_app;
GRANT UPDATE (decision, decided_at, decided_by, why) ON loyalty.review TO hunch_app;

-- A decision is told to the member.
ALTER TABLE messaging.notice
    DROP CONSTRAINT notice_cause_kind,
    ADD CONSTRAINT notice_cause_kind CHECK (cause_kind IN ('purchase', 'return', 'stake', 'settlement', 'review')) NOT VALID;
ALTER TABLE messaging.notice VALIDATE CONSTRAINT notice_cause_kind;
