-- Notices, push subscriptions, what was handed over, and what was withheld and why.
-- Hot tables (notice, delivery, attempt, withheld): no foreign keys.

-- A browser that may be pushed to. Written when a member's device subscribes; deleted when the push
-- service says it is gone, when the member takes it back, or when the same device subscribes anew.
CREATE TABLE messaging.subscription (
    subscription uuid        NOT NULL,
    member       uuid        NOT NULL,          -- member token
    device       uuid        NOT NULL,
    endpoint     text        NOT NULL,          -- address at the push service; a capability, never logged
    p256dh       bytea       NOT NULL,          -- browser's public key, uncompressed P-256 point
    auth         bytea       NOT NULL,          -- browser's authentication secret
    made_at      timestamptz NOT NULL,          -- business time
    CONSTRAINT subscription_once PRIMARY KEY (subscription),
    CONSTRAINT subscription_endpoint_once UNIQUE (endpoint),
    CONSTRAINT subscription_device_once UNIQUE (device),
    CONSTRAINT subscription_keys CHECK (length(p256dh) = 65 AND length(auth) = 16)
);
CREATE INDEX subscription_of_member ON messaging.subscription (member, made_at);

-- What a member is told. One per member and cause, for ever; the inbox is made of these. Written with
-- the decision that caused it; prompt_state is changed by the sender and by withdrawals.
CREATE TABLE messaging.notice (
    notice       uuid        NOT NULL,          -- derived from member and cause
    member       uuid        NOT NULL,
    cause_kind   text        NOT NULL,
    cause        uuid        NOT NULL,          -- purchase, order or position
    body         text        NOT NULL,          -- the receipt sentence: what a push may carry; no word of betting
    wanted       text        NOT NULL,          -- what was decided: nothing (inbox only), receipt, offer, market
    prompt_state text        NOT NULL,          -- none, open, withheld
    prompt_ref   text,                          -- market ticker or offer id
    prompt_title text,                          -- the market's question or the offer's title
    category     text,                          -- of the market: sports, events, weather, local
    reason       text,                          -- why there is no prompt or no push: a stable code
    expires_at   timestamptz NOT NULL,          -- business time: not handed over afterwards
    made_at      timestamptz NOT NULL,          -- business time
    made_wall_at timestamptz NOT NULL,          -- wall time, for latency figures
    fetched_at   timestamptz,                   -- business time at which a device first asked for it
    CONSTRAINT notice_once PRIMARY KEY (notice),
    CONSTRAINT notice_cause_once UNIQUE (member, cause_kind, cause),
    CONSTRAINT notice_cause_kind CHECK (cause_kind IN ('purchase', 'return', 'stake', 'settlement')),
    CONSTRAINT notice_wanted CHECK (wanted IN ('nothing', 'receipt', 'offer', 'market')),
    CONSTRAINT notice_prompt_state CHECK (prompt_state IN ('none', 'open', 'withheld')),
    CONSTRAINT notice_prompt CHECK (prompt_state = 'none' OR (prompt_ref IS NOT NULL AND prompt_title IS NOT NULL)),
    CONSTRAINT notice_category CHECK ((wanted = 'market') = (category IS NOT NULL))
) WITH (fillfactor = 90);
CREATE INDEX notice_inbox ON messaging.notice (member, made_at DESC, notice DESC);
CREATE INDEX notice_of_cause ON messaging.notice (cause, cause_kind);
CREATE INDEX notice_open_prompt ON messaging.notice (member) WHERE prompt_state = 'open';

-- One notice to one subscription. Marked sending before the socket and resolved after it, so a crash
-- between the two repeats the push; the topic makes the repeat replace the first.
CREATE TABLE messaging.delivery (
    notice       uuid        NOT NULL,
    subscription uuid        NOT NULL,
    member       uuid        NOT NULL,
    device       uuid        NOT NULL,
    state        text        NOT NULL,          -- due, sending, accepted, gone, refused, expired
    content      text        NOT NULL,          -- receipt, offer or prompt (about a market): what is, or was last, handed over
    attempts     integer     NOT NULL DEFAULT 0,
    due_at       timestamptz NOT NULL,          -- wall time of the next attempt
    leased_until timestamptz,                   -- wall time; a sender that died is followed by another
    last_status  integer,                       -- HTTP status of the last answer
    accepted_at  timestamptz,                   -- wall time at which the service first took it
    CONSTRAINT delivery_once PRIMARY KEY (notice, subscription),
    CONSTRAINT delivery_state CHECK (state IN ('due', 'sending', 'accepted', 'gone', 'refused', 'expired')),
    CONSTRAINT delivery_content CHECK (content IN ('receipt', 'offer', 'prompt')),
    CONSTRAINT delivery_lease CHECK ((state = 'sending') = (leased_until IS NOT NULL))
) WITH (fillfactor = 70);
-- Receipts go first, then prompts, then offers: the alphabet backwards.
CREATE INDEX delivery_due ON messaging.delivery (content DESC, due_at) WHERE state IN ('due', 'sending');
CREATE INDEX delivery_of_member ON messaging.delivery (member) WHERE content = 'prompt';

-- Every attempt to hand a push over, with what came of it. Append-only.
CREATE TABLE messaging.attempt (
    notice       uuid        NOT NULL,
    subscription uuid        NOT NULL,
    attempt      integer     NOT NULL,          -- from 1
    member       uuid        NOT NULL,
    device       uuid        NOT NULL,
    content      text        NOT NULL,          -- receipt, offer or prompt
    outcome      text        NOT NULL,          -- accepted, gone, retry, refused, expired
    status       integer,                       -- HTTP status, if there was an answer
    standing     bigint,                        -- standing version of the permit, for a prompt
    at           timestamptz NOT NULL,          -- business time just before the socket
    ended_at     timestamptz NOT NULL,          -- wall time
    CONSTRAINT attempt_once PRIMARY KEY (notice, subscription, attempt),
    CONSTRAINT attempt_permit CHECK (content <> 'prompt' OR standing IS NOT NULL)
);

-- Why a prompt was not made, or was taken back. Append-only.
CREATE TABLE messaging.withheld (
    id           bigint GENERATED ALWAYS AS IDENTITY,
    notice       uuid        NOT NULL,
    subscription uuid,                          -- when one device was meant
    member       uuid        NOT NULL,
    reason       text        NOT NULL,          -- stable code of the gate, or expired
    stage        text        NOT NULL,
    at           timestamptz NOT NULL,          -- business time
    CONSTRAINT withheld_once PRIMARY KEY (id),
    CONSTRAINT withheld_stage CHECK (stage IN ('decision', 'send', 'standing', 'fetch'))
);
CREATE INDEX withheld_of_notice ON messaging.withheld (notice);

GRANT SELECT, INSERT, UPDATE, DELETE ON messaging.subscription TO hunch_app;
GRANT SELECT, INSERT, UPDATE ON messaging.notice, messaging.delivery TO hunch_app;
GRANT SELECT, INSERT ON messaging.attempt, messaging.withheld TO hunch_app;
