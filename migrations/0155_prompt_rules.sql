-- What decides whether someone may be prompted to stake, besides who and where they are: their last loss, their last
-- refused stake, and the prompts they had. Written only by hunch_safeguards: losses and refusals in the transaction of
-- the shard that books them, prompts in the transaction that stores the notice or the card.

-- One row per member who ever lost or was refused.
CREATE TABLE safeguards.setback (
    member            uuid        NOT NULL,
    last_loss_at      timestamptz,              -- business time at which a position was last paid less than it cost
    last_rejection_at timestamptz,              -- business time at which a stake last filled nothing
    CONSTRAINT setback_once PRIMARY KEY (member),
    CONSTRAINT setback_of_something CHECK (last_loss_at IS NOT NULL OR last_rejection_at IS NOT NULL)
);

-- Every prompt to stake that was given, once per member and cause. Append-only.
CREATE TABLE safeguards.prompt (
    member   uuid        NOT NULL,
    cause    uuid        NOT NULL,              -- purchase; for a card, derived from member and time
    surface  text        NOT NULL,              -- push or card
    standing bigint,                            -- version of the standing at which it was permitted; null: before this was kept
    at       timestamptz NOT NULL,              -- business time
    CONSTRAINT prompt_once PRIMARY KEY (member, cause),
    CONSTRAINT prompt_surface CHECK (surface IN ('push', 'card'))
);
CREATE INDEX prompt_of_member ON safeguards.prompt (member, at);

-- Whether the member wants to be told of offers of shops. Receipts come either way.
ALTER TABLE safeguards.standing ADD COLUMN offers_on boolean NOT NULL DEFAULT true;

GRANT SELECT, INSERT, UPDATE ON safeguards.setback TO hunch_app;
GRANT SELECT, INSERT ON safeguards.prompt TO hunch_app;

-- What happened before this was kept.
INSERT INTO safeguards.setback (member, last_loss_at, last_rejection_at)
SELECT member, max(loss), max(rejection)
FROM (SELECT member, paid_at AS loss, NULL::timestamptz AS rejection FROM trading.position WHERE paid_points < cost_points
      UNION ALL
      SELECT member, NULL, resolved_at FROM trading.orders WHERE resolved_at IS NOT NULL AND captured_points = 0) happened
GROUP BY member;
-- Only the prompts of the last week count.
INSERT INTO safeguards.prompt (member, cause, surface, at)
SELECT member, cause, channel, at FROM engage.decision
WHERE action = 'market' AND withheld IS NULL AND at > (SELECT max(at) - interval '8 days' FROM engage.decision);
