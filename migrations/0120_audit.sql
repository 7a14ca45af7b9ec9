-- The auditor's own memory: how far each shard was proved. Written by `hunch audit` under its own role.
CREATE SCHEMA audit;
CREATE TABLE audit.mark (
    shard    smallint    NOT NULL,
    last_seq bigint      NOT NULL,              -- the chain up to here was recomputed and held
    hash     bytea       NOT NULL,              -- hash of the batch that ends there
    at       timestamptz NOT NULL,              -- wall time of the audit
    CONSTRAINT mark_once PRIMARY KEY (shard)
);
GRANT USAGE ON SCHEMA audit TO hunch_audit;
GRANT SELECT, INSERT, UPDATE ON audit.mark TO hunch_audit;
