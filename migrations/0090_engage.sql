-- What was decided for whom, with the odds it had: enough to replay and to judge another policy.

-- Once per member and cause, for ever. Append-only. Hot: no foreign keys.
CREATE TABLE engage.decision (
    member          uuid        NOT NULL,
    cause           uuid        NOT NULL,       -- purchase; for a card, derived from member and time
    channel         text        NOT NULL,       -- push or card
    shard           smallint    NOT NULL,
    seq             bigint      NOT NULL,       -- message that caused it; 0 for a card
    action          text        NOT NULL,       -- nothing, market, offer
    reference       text,                       -- market ticker or offer id
    propensity_ppm  integer     NOT NULL,       -- millionths: the chance this action had
    policy          smallint    NOT NULL,       -- version of the policy
    seed            bigint      NOT NULL,       -- with features and candidates it gives the same choice again
    candidates_hash bytea       NOT NULL,       -- 16 bytes of SHA-256 over the candidates as scored
    candidates      smallint    NOT NULL,       -- how many could be chosen, nothing included
    reason          text        NOT NULL,       -- stable code
    withheld        text,                       -- code of the gate, when it refused the chosen market
    at              timestamptz NOT NULL,       -- business time
    CONSTRAINT decision_once PRIMARY KEY (member, cause),
    CONSTRAINT decision_action CHECK (action IN ('nothing', 'market', 'offer')),
    CONSTRAINT decision_channel CHECK (channel IN ('push', 'card')),
    CONSTRAINT decision_reference CHECK ((action = 'nothing') = (reference IS NULL)),
    CONSTRAINT decision_propensity CHECK (propensity_ppm BETWEEN 1 AND 1000000),
    CONSTRAINT decision_hash_length CHECK (length(candidates_hash) = 16),
    CONSTRAINT decision_withheld CHECK (withheld IS NULL OR action = 'market')
);
-- Prompt history since a checkpoint, when a shard's memory is rebuilt.
CREATE INDEX decision_prompts ON engage.decision (shard, seq) WHERE action = 'market' AND withheld IS NULL;

GRANT SELECT, INSERT ON engage.decision TO hunch_app;
