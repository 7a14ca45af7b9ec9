-- A suggestion is added to a receipt and never a condition of it: it ends by itself, and the receipt goes on.
ALTER TABLE messaging.notice ADD COLUMN prompt_until timestamptz; -- business time; null: none, or as long as the notice
-- When a person first opened it: what a decision earns. `fetched_at` is a device's own asking.
ALTER TABLE messaging.notice ADD COLUMN opened_at timestamptz;    -- business time
-- Whatever a delivery carries besides, it carries a receipt: what waits longest goes first.
CREATE INDEX delivery_next ON messaging.delivery (due_at) WHERE state IN ('due', 'sending');
DROP INDEX messaging.delivery_due;
-- An offer leaves by a permit as a prompt does. What was sent before this was kept has none.
ALTER TABLE messaging.attempt ADD CONSTRAINT attempt_offer_permit CHECK (content <> 'offer' OR standing IS NOT NULL) NOT VALID;
-- What a push service answered when it last refused what was sent to a subscription, so that it is said once.
ALTER TABLE messaging.subscription ADD COLUMN refused_status integer;
