-- In what order an attempt was stored and sent, whatever the clocks said meanwhile.
CREATE SEQUENCE trading.step;
GRANT USAGE ON SEQUENCE trading.step TO hunch_app;
ALTER TABLE trading.attempt ADD COLUMN stored_step bigint NOT NULL DEFAULT nextval('trading.step');
ALTER TABLE trading.orders ADD COLUMN sent_step bigint;
UPDATE trading.orders SET sent_step = nextval('trading.step') WHERE sent_at IS NOT NULL;
ALTER TABLE trading.orders ADD CONSTRAINT orders_sent_step CHECK ((sent_at IS NULL) = (sent_step IS NULL));
