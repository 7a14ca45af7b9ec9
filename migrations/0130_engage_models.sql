-- What a model decided and what it earned: all that is needed to decide again, bit for bit, and to learn.

ALTER TABLE engage.decision
    ADD COLUMN model        text,               -- first 16 digits of the SHA-256 of the model's file; null: the rule decided
    ADD COLUMN began        boolean NOT NULL DEFAULT false, -- the shard's learner began anew with this decision
    ADD COLUMN learned_seq  bigint,             -- the shard's answers up to this message had been learned
    ADD COLUMN told         bytea,              -- what a model is told of each choice, and which was chosen (engage/src/told.rs)
    ADD COLUMN answer_until timestamptz,        -- business time until which an answer counts; null: none is expected
    ADD COLUMN answer_at    uuid,               -- shop at which a purchase answers; null for a market
    ADD CONSTRAINT decision_model CHECK ((model IS NULL) = (learned_seq IS NULL)),
    ADD CONSTRAINT decision_began CHECK (NOT began OR model IS NOT NULL),
    ADD CONSTRAINT decision_answer CHECK (answer_until IS NULL OR (action <> 'nothing' AND withheld IS NULL AND channel = 'push'));
-- What waits for an answer, when a shard's memory is rebuilt.
CREATE INDEX decision_asked ON engage.decision (shard, seq) WHERE answer_until IS NOT NULL;
CREATE INDEX decision_beginnings ON engage.decision (shard, seq) WHERE began;

-- What a decision earned. Once per decision, for ever. Append-only. Hot: no foreign keys.
CREATE TABLE engage.answer (
    member            uuid        NOT NULL,
    cause             uuid        NOT NULL,     -- of the decision
    shard             smallint    NOT NULL,
    seq               bigint      NOT NULL,     -- message that answered, or that showed the time to be over
    nth               smallint    NOT NULL,     -- order among the answers of that message: in it they were learned
    asked_seq         bigint      NOT NULL,     -- message that caused the decision
    reward_thousandths integer    NOT NULL,     -- 1000: answered in time; 0: not
    at                timestamptz NOT NULL,     -- business time
    CONSTRAINT answer_once PRIMARY KEY (member, cause),
    CONSTRAINT answer_reward CHECK (reward_thousandths BETWEEN 0 AND 1000),
    CONSTRAINT answer_order CHECK (asked_seq < seq)
);
CREATE INDEX answer_learned ON engage.answer (shard, seq, nth);

GRANT SELECT, INSERT ON engage.answer TO hunch_app;
