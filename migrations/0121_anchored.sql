-- The newest anchor that was written to each file, so that an older copy of the file is told from the file itself.
CREATE TABLE audit.anchored (
    file     text        NOT NULL,              -- its absolute path
    shard    smallint    NOT NULL,
    last_seq bigint      NOT NULL,
    at       timestamptz NOT NULL,              -- wall time
    CONSTRAINT anchored_once PRIMARY KEY (file, shard)
);
GRANT SELECT, INSERT, UPDATE ON audit.anchored TO hunch_audit;
