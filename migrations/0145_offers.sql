-- What an offer gave a purchase. An offer's points are a part of the purchase's own posting, so that a return takes them back
-- with the rest.

ALTER TABLE loyalty.offer
    ADD COLUMN told_until timestamptz,          -- business time at which it was withdrawn; null while it is not
    ADD CONSTRAINT offer_bonus_max CHECK (bonus_points <= 100000),
    DROP CONSTRAINT offer_dates,
    -- One that is withdrawn before it began lasts no time at all.
    ADD CONSTRAINT offer_dates CHECK (valid_to >= valid_from);
GRANT UPDATE (valid_to, told_until) ON loyalty.offer TO hunch_app;

ALTER TABLE loyalty.purchase
    ADD COLUMN rule         uuid,                       -- earn rule in force when it was bought; null where none was, or unknown
    ADD COLUMN offer_points bigint NOT NULL DEFAULT 0,  -- part of points that offers gave
    -- Rows of before hold it by the default, so nobody need read them all.
    ADD CONSTRAINT purchase_offer_points CHECK (offer_points >= 0 AND offer_points <= points) NOT VALID;

-- A member had an offer with this purchase. Written with the purchase by its shard's batcher; a return ends it. As hot as
-- purchases on the day of an offer: no foreign keys, the audit looks.
CREATE TABLE loyalty.offer_use (
    purchase    uuid        NOT NULL,
    offer       uuid        NOT NULL,
    member      uuid        NOT NULL,
    title       text        NOT NULL,           -- as it was told
    points      bigint      NOT NULL,
    used_at     timestamptz NOT NULL,           -- business time at which the purchase was recorded
    returned_at timestamptz,                    -- business time at which the purchase came back: the offer is free again
    CONSTRAINT offer_use_once PRIMARY KEY (purchase, offer),
    CONSTRAINT offer_use_points CHECK (points > 0)
);
-- Once for each member, unless it was given back.
CREATE UNIQUE INDEX offer_use_of_member ON loyalty.offer_use (member, offer) WHERE returned_at IS NULL;
GRANT SELECT, INSERT ON loyalty.offer_use TO hunch_app;
GRANT UPDATE (returned_at) ON loyalty.offer_use TO hunch_app;
