-- The log: one row per transaction of a shard. It is outbox, hash chain and replay source at once.

-- One row per shard; its lock makes the shard a single writer. Written by ShardTx.
CREATE TABLE log.shard_head (
    shard       smallint NOT NULL,              -- 0 .. number of shards - 1, fixed at creation
    last_seq    bigint   NOT NULL,              -- sequence number of the newest message, dense from 1
    hash        bytea    NOT NULL,              -- hash of the newest batch; 32 zero bytes before the first
    CONSTRAINT shard_head_once PRIMARY KEY (shard),
    CONSTRAINT shard_head_seq_not_negative CHECK (last_seq >= 0),
    CONSTRAINT shard_head_hash_length CHECK (length(hash) = 32)
) WITH (fillfactor = 10);                       -- updated in place by every batch

-- Append-only. hash = sha256(prev_hash || int8 first_seq || int8 last_seq || sha256(payload) || entries_hash).
CREATE TABLE log.batch (
    shard        smallint    NOT NULL,
    last_seq     bigint      NOT NULL,          -- sequence number of the batch's last message
    first_seq    bigint      NOT NULL,          -- sequence number of the batch's first message
    prev_hash    bytea       NOT NULL,          -- hash of the batch before
    hash         bytea       NOT NULL,
    entries_hash bytea       NOT NULL,          -- sha256 over the canonical lines of the batch's ledger entries
    payload      bytea       NOT NULL,          -- 4 bytes little-endian length, then an lz4 block: JSON array of messages
    written_at   timestamptz NOT NULL,          -- business time, from the caller's Clock
    CONSTRAINT batch_once PRIMARY KEY (shard, last_seq),
    CONSTRAINT batch_not_empty CHECK (first_seq <= last_seq)
);
ALTER TABLE log.batch ALTER COLUMN payload SET STORAGE EXTERNAL;  -- compressed already

-- How far a consumer has acted on a shard's log. Written in the same transaction as its effects.
CREATE TABLE log.consumer_position (
    consumer text     NOT NULL,                 -- stable name, such as engage
    shard    smallint NOT NULL,
    last_seq bigint   NOT NULL,                 -- newest message whose effects are committed
    epoch    bigint   NOT NULL,                 -- raised by each new owner; an older owner's commit is refused
    state    bytea,                             -- the consumer's own checkpoint, written with the position
    CONSTRAINT consumer_position_once PRIMARY KEY (consumer, shard)
);

INSERT INTO log.shard_head (shard, last_seq, hash)
SELECT s, 0, decode(repeat('00', 32), 'hex') FROM generate_series(0, 7) AS s;

GRANT USAGE ON SCHEMA log TO hunch_app;
GRANT SELECT, UPDATE ON log.shard_head TO hunch_app;
GRANT SELECT, INSERT ON log.batch TO hunch_app;
GRANT SELECT, INSERT, UPDATE ON log.consumer_position TO hunch_app;
