-- Counters with an end: what a till or a merchant may bring in a time, and what an offer may give in all. A process takes a slice
-- and spends it by itself, so that nobody waits for one row and no more than the whole is ever spent.

CREATE TABLE loyalty.allowance (
    counter text        NOT NULL,               -- a stable word, see hunch_loyalty: till_points, till_receipts, …
    subject uuid        NOT NULL,               -- till, merchant or offer
    period  timestamptz NOT NULL,               -- business time at which it begins; of what has no end, 2000
    leased  bigint      NOT NULL,               -- slices taken, whether or not they were spent
    CONSTRAINT allowance_once PRIMARY KEY (counter, subject, period),
    CONSTRAINT allowance_leased CHECK (leased >= 0)
) WITH (fillfactor = 70);
CREATE INDEX allowance_age ON loyalty.allowance (period) WHERE counter <> 'offer_points';
GRANT SELECT, INSERT, UPDATE, DELETE ON loyalty.allowance TO hunch_app;

-- What an offer may give in all. Null: to every member.
ALTER TABLE loyalty.offer
    ADD COLUMN budget_points bigint,
    ADD CONSTRAINT offer_budget CHECK (budget_points >= bonus_points);
