-- What operators do: every act is kept with who, what, and what it was before and after; and what needs two people waits here
-- for the second one. The acts are kept by the tables themselves, so that no way to a table goes round it, not even by hand.

CREATE SCHEMA operators;
GRANT USAGE ON SCHEMA operators TO hunch_app, hunch_audit;
ALTER DEFAULT PRIVILEGES IN SCHEMA operators GRANT SELECT ON TABLES TO hunch_audit;
ALTER DEFAULT PRIVILEGES IN SCHEMA operators GRANT SELECT ON SEQUENCES TO hunch_audit;

-- Append-only. Holds tokens and never what is in the vault.
CREATE TABLE operators.act (
    act      bigint GENERATED ALWAYS AS IDENTITY,
    operator text        NOT NULL,              -- the operator's name; a database role where a statement named none
    what     text        NOT NULL,              -- a stable word, such as terminal
    subject  text        NOT NULL,              -- id of what was made or changed
    before   jsonb,                             -- the columns that changed, as they were; null: it was made
    after    jsonb       NOT NULL,              -- the same columns, as they are; of what was made all, without secrets
    at       timestamptz NOT NULL DEFAULT clock_timestamp(), -- wall time
    CONSTRAINT act_once PRIMARY KEY (act)
);
CREATE INDEX act_of ON operators.act (subject, act DESC);
GRANT SELECT ON operators.act TO hunch_app;

-- Keeps what a statement did to a row. Arguments: the word, the column that names the row, the column that tells who (or
-- nothing), and columns that are not kept. Runs as its owner, so that nobody else can write an act.
CREATE FUNCTION operators.keep_act() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made   boolean := TG_OP = 'INSERT';
    now_is jsonb := to_jsonb(NEW) - TG_ARGV[3:];
    was    jsonb;
    who    text := coalesce(nullif(current_setting('hunch.operator', true), ''), to_jsonb(NEW) ->> TG_ARGV[2], session_user);
BEGIN
    IF NOT made THEN
        was := to_jsonb(OLD) - TG_ARGV[3:];
        SELECT jsonb_object_agg(key, was -> key), jsonb_object_agg(key, now_is -> key) INTO was, now_is
        FROM jsonb_object_keys(now_is) AS key WHERE was -> key IS DISTINCT FROM now_is -> key;
        IF now_is IS NULL THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO operators.act (operator, what, subject, before, after)
    VALUES (who, TG_ARGV[0], to_jsonb(NEW) ->> TG_ARGV[1], was, now_is);
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION operators.keep_act() FROM PUBLIC;

CREATE TRIGGER act AFTER INSERT OR UPDATE ON loyalty.merchant
    FOR EACH ROW EXECUTE FUNCTION operators.keep_act('merchant', 'merchant', '');
CREATE TRIGGER act AFTER INSERT OR UPDATE ON loyalty.earn_rule
    FOR EACH ROW EXECUTE FUNCTION operators.keep_act('earn_rule', 'rule', '');
CREATE TRIGGER act AFTER INSERT OR UPDATE ON loyalty.terminal
    FOR EACH ROW EXECUTE FUNCTION operators.keep_act('terminal', 'terminal', '', 'secret_sha256');
CREATE TRIGGER act AFTER INSERT OR UPDATE ON loyalty.offer
    FOR EACH ROW EXECUTE FUNCTION operators.keep_act('offer', 'offer', '');
CREATE TRIGGER act AFTER UPDATE OF decision ON loyalty.review
    FOR EACH ROW WHEN (NEW.decided_by IS NOT NULL) EXECUTE FUNCTION operators.keep_act('review', 'purchase', 'decided_by');
CREATE TRIGGER act AFTER INSERT ON people.member
    FOR EACH ROW EXECUTE FUNCTION operators.keep_act('member', 'member', '', 'shard');
CREATE TRIGGER act AFTER UPDATE OF decision ON safeguards.likeness
    FOR EACH ROW WHEN (NEW.decided_by IS NOT NULL) EXECUTE FUNCTION operators.keep_act('likeness', 'member', 'decided_by');
CREATE TRIGGER act AFTER UPDATE ON trading.switch
    FOR EACH ROW EXECUTE FUNCTION operators.keep_act('switch', 'name', '');
CREATE TRIGGER act AFTER UPDATE OF ended_by ON trading.orders
    FOR EACH ROW WHEN (NEW.ended_by IS NOT NULL) EXECUTE FUNCTION operators.keep_act('order', 'order_id', 'ended_by');
CREATE TRIGGER act AFTER INSERT OR UPDATE OF approved_by, ended_by, parked_at ON trading.correction
    FOR EACH ROW EXECUTE FUNCTION operators.keep_act('correction', 'correction', 'proposed_by');
CREATE TRIGGER act AFTER INSERT ON vault.former_person
    FOR EACH ROW EXECUTE FUNCTION operators.keep_act('person', 'member', 'replaced_by', 'full_name', 'email', 'phone');

-- What one operator wants and another one has to approve. Its effect is booked in the transaction that approves it.
CREATE TABLE operators.proposal (
    proposal    uuid        NOT NULL,           -- derived from what is wanted, so that it waits once
    kind        text        NOT NULL,           -- funding, recovery, earn_rule
    content     jsonb       NOT NULL,           -- what is wanted, as it was sent
    proposed_by text        NOT NULL,
    proposed_at timestamptz NOT NULL,           -- wall time
    lapses_at   timestamptz NOT NULL,           -- wall time: nobody can approve it afterwards
    decision    text,                           -- approved, ended or lapsed; null while it waits
    decided_by  text,                           -- the other operator; null when it lapsed
    decided_at  timestamptz,                    -- wall time
    CONSTRAINT proposal_once PRIMARY KEY (proposal),
    CONSTRAINT proposal_kind CHECK (kind IN ('funding', 'recovery', 'earn_rule')),
    CONSTRAINT proposal_decision CHECK (decision IN ('approved', 'ended', 'lapsed')),
    CONSTRAINT proposal_decided CHECK ((decision IS NULL) = (decided_at IS NULL)
        AND (coalesce(decision, 'lapsed') = 'lapsed') = (decided_by IS NULL)),
    CONSTRAINT proposal_two_people CHECK (decision IS DISTINCT FROM 'approved' OR decided_by <> proposed_by),
    CONSTRAINT proposal_in_time CHECK (decision IS DISTINCT FROM 'approved' OR decided_at < lapses_at)
);
CREATE INDEX proposal_open ON operators.proposal (proposed_at, proposal) WHERE decision IS NULL;
GRANT SELECT, INSERT ON operators.proposal TO hunch_app;
GRANT UPDATE (decision, decided_by, decided_at) ON operators.proposal TO hunch_app;
CREATE TRIGGER act AFTER INSERT OR UPDATE ON operators.proposal
    FOR EACH ROW EXECUTE FUNCTION operators.keep_act('proposal', 'proposal', '');
