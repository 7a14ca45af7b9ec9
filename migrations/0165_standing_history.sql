-- What a member's standing was at each version, written down by the database itself whenever the standing changes: the
-- audit holds every stake and every prompt against it, and takes nobody's word for what was looked at.

-- Append-only; the application may not even insert.
CREATE TABLE safeguards.standing_history (
    id       bigint GENERATED ALWAYS AS IDENTITY,
    member   uuid   NOT NULL,
    version  bigint NOT NULL,
    standing jsonb  NOT NULL,                   -- the row of safeguards.standing as it then was
    made_by  xid8   NOT NULL,                   -- the transaction: a snapshot of another one tells whether it saw this
    CONSTRAINT standing_history_once PRIMARY KEY (id)
);
CREATE INDEX standing_history_of_member ON safeguards.standing_history (member, version);

CREATE FUNCTION safeguards.keep_standing() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO safeguards.standing_history (member, version, standing, made_by)
    VALUES (NEW.member, NEW.version, to_jsonb(NEW), pg_current_xact_id());
    RETURN NULL;
END
$$;
CREATE TRIGGER keep_standing AFTER INSERT OR UPDATE ON safeguards.standing
    FOR EACH ROW EXECUTE FUNCTION safeguards.keep_standing();

-- What was before this was kept is known as it is now.
INSERT INTO safeguards.standing_history (member, version, standing, made_by)
SELECT member, version, to_jsonb(s), pg_current_xact_id() FROM safeguards.standing s;

-- What a dispatcher could see when it marked an order as sent; it looked at the standing after that.
ALTER TABLE trading.orders ADD COLUMN sent_snapshot pg_snapshot;
UPDATE trading.orders SET sent_snapshot = pg_current_snapshot() WHERE sent_step IS NOT NULL;
ALTER TABLE trading.orders ADD CONSTRAINT orders_sent_snapshot CHECK (sent_step IS NULL OR sent_snapshot IS NOT NULL);

-- The same for what is sent to phones: a sender marks a delivery as its own and looks at the standing after that.
ALTER TABLE messaging.delivery ADD COLUMN claimed pg_snapshot;
ALTER TABLE messaging.attempt ADD COLUMN claimed pg_snapshot; -- null: before this was kept

-- What a stake was permitted by. Rows of before this was kept have nothing of it and say so.
ALTER TABLE safeguards.charge ADD COLUMN unproven boolean NOT NULL DEFAULT true;
ALTER TABLE safeguards.charge ALTER COLUMN unproven SET DEFAULT false;
ALTER TABLE safeguards.charge
    ADD COLUMN permitted_at timestamptz,        -- business time at which the member was judged
    ADD COLUMN jurisdiction text,               -- where they were
    ADD COLUMN category     text,               -- what of
    ADD COLUMN age_reached  smallint,           -- the greatest age that any rule asks for and that the vault knows as reached
    ADD COLUMN place_until  timestamptz,        -- business time until which the place was believed
    ADD COLUMN day_limit    bigint,             -- limits in force when it was charged, the lower of own and house
    ADD COLUMN week_limit   bigint,
    ADD CONSTRAINT charge_proven CHECK (unproven OR (permitted_at IS NOT NULL AND jurisdiction IS NOT NULL AND category IS NOT NULL
        AND age_reached IS NOT NULL AND place_until IS NOT NULL AND day_limit IS NOT NULL AND week_limit IS NOT NULL));
