-- What the entries say of our cash at the exchange, kept small, so that a comparison with the exchange does not read
-- all history. Written by hunch_treasury in the statement that writes the entries; now and then the rows of a shard
-- are taken out and put back as one, in one statement. Never updated. The entries are the truth: U1 compares.
CREATE TABLE treasury.cash_part (
    id             bigint GENERATED ALWAYS AS IDENTITY,
    exchange_shard smallint NOT NULL,
    micros         bigint   NOT NULL,           -- debits minus credits of account 1
    CONSTRAINT cash_part_once PRIMARY KEY (id)
);
INSERT INTO treasury.cash_part (exchange_shard, micros)
SELECT exchange_shard, sum(CASE WHEN debit = 1 THEN amount ELSE -amount END)::bigint FROM treasury.entry
WHERE exchange_shard IS NOT NULL GROUP BY exchange_shard;
GRANT SELECT, INSERT, DELETE ON treasury.cash_part TO hunch_app;
