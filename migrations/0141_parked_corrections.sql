-- A correction that could not be carried out in full waits for an operator, who lets it be tried again, or ends it as long
-- as it changed nothing. One that waits or was ended holds up no other.
ALTER TABLE trading.correction
    ADD COLUMN parked_at  timestamptz,          -- null while nothing stands in its way
    ADD COLUMN parked_why text,
    ADD COLUMN ended_at   timestamptz,          -- given up, having changed nothing
    ADD COLUMN ended_by   text,
    ADD CONSTRAINT correction_parked CHECK ((parked_at IS NULL) = (parked_why IS NULL)),
    ADD CONSTRAINT correction_ended CHECK ((ended_at IS NULL) = (ended_by IS NULL) AND (ended_at IS NULL OR finished_at IS NULL));
CREATE UNIQUE INDEX correction_open_once ON trading.correction (market) WHERE finished_at IS NULL AND ended_at IS NULL;
DROP INDEX trading.correction_open;
