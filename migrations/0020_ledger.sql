-- The points ledger. Account codes: 1 available, 2 held, 3 provisional, 4 debt (of a member);
-- 10 issuance (house = merchant), 11 operator issuance, 12 exchange, 13 community pot, 14 correction loss.
-- Hot tables: no foreign keys, no triggers; checks, unique keys and the audit hold the rules.

-- A member's balances and lot stream. Written by the shard's batcher only.
CREATE TABLE ledger.member_account (
    member       uuid     NOT NULL,             -- member token
    shard        smallint NOT NULL,
    available    bigint   NOT NULL DEFAULT 0,   -- points that can be spent
    held         bigint   NOT NULL DEFAULT 0,   -- points in open holds
    provisional  bigint   NOT NULL DEFAULT 0,   -- points not yet confirmed
    debt         bigint   NOT NULL DEFAULT 0,   -- points owed after returns, zero or negative
    credited     bigint   NOT NULL DEFAULT 0,   -- end of the lot stream: points ever credited
    consumed     bigint   NOT NULL DEFAULT 0,   -- first in, first out: lots before this position are used
    voids_ahead  integer  NOT NULL DEFAULT 0,   -- returned ranges (lot_void) that end beyond consumed
    CONSTRAINT member_account_once PRIMARY KEY (member),
    CONSTRAINT member_account_available_min CHECK (available >= 0),
    CONSTRAINT member_account_held_min CHECK (held >= 0),
    CONSTRAINT member_account_provisional_min CHECK (provisional >= 0),
    CONSTRAINT member_account_debt_max CHECK (debt <= 0),
    CONSTRAINT member_account_lots CHECK (consumed <= credited)
) WITH (fillfactor = 50);

-- One posting: amount leaves debit and arrives at credit. Append-only.
CREATE TABLE ledger.entry (
    shard   smallint    NOT NULL,
    seq     bigint      NOT NULL,               -- the message that announced it
    line    smallint    NOT NULL,               -- order within the command
    member  uuid        NOT NULL,
    debit   smallint    NOT NULL,               -- account code
    credit  smallint    NOT NULL,               -- account code
    house   uuid        NOT NULL,               -- the merchant behind account 10, else the zero uuid
    amount  bigint      NOT NULL,               -- points
    reason  smallint    NOT NULL,               -- see hunch_ledger::Reason
    source  uuid        NOT NULL,               -- purchase, order or other cause
    lot_lo  bigint,                             -- range of the member's lot stream that this entry
    lot_hi  bigint,                             --   made (a credit) or used (a debit)
    at      timestamptz NOT NULL,               -- business time
    CONSTRAINT entry_once PRIMARY KEY (shard, seq, line),
    CONSTRAINT entry_amount_positive CHECK (amount > 0),
    CONSTRAINT entry_moves CHECK (debit <> credit),
    CONSTRAINT entry_accounts CHECK (debit IN (1,2,3,4,10,11,12,13,14) AND credit IN (1,2,3,4,10,11,12,13,14)),
    CONSTRAINT entry_lot CHECK ((lot_lo IS NULL) = (lot_hi IS NULL) AND (lot_lo IS NULL OR lot_lo < lot_hi))
);
CREATE INDEX entry_of_member ON ledger.entry (member, seq DESC, line DESC);
-- Which uses touched a lot: only debits of lots, so earning never writes it.
CREATE INDEX entry_uses ON ledger.entry (member, lot_hi) WHERE lot_hi IS NOT NULL AND debit IN (1, 2) AND credit <> 1;

-- House accounts: append-only deltas, one per batch and account, so no row is hot.
CREATE TABLE ledger.house_delta (
    shard   smallint NOT NULL,
    seq     bigint   NOT NULL,                  -- first message of the batch part that wrote it
    account smallint NOT NULL,                  -- account code from 10 on
    house   uuid     NOT NULL,
    delta   bigint   NOT NULL,                  -- points
    CONSTRAINT house_delta_once PRIMARY KEY (shard, seq, account, house),
    CONSTRAINT house_delta_account CHECK (account >= 10)
);

-- The first answer of every accepted command, for ever (L6).
CREATE TABLE ledger.command (
    key         uuid     NOT NULL,
    shard       smallint NOT NULL,
    seq         bigint   NOT NULL,
    request     bigint   NOT NULL,              -- digest of the request: the same key with another body is refused
    points      bigint   NOT NULL,              -- points moved, as first answered
    available   bigint   NOT NULL,              -- balances just after, as first answered
    held        bigint   NOT NULL,
    provisional bigint   NOT NULL,
    debt        bigint   NOT NULL,
    CONSTRAINT command_once PRIMARY KEY (key)
);

-- A hold: captured, released or open with an owner, exactly once (T1). Named by its order.
CREATE TABLE ledger.hold (
    hold      uuid        NOT NULL,
    member    uuid        NOT NULL,
    shard     smallint    NOT NULL,
    amount    bigint      NOT NULL,             -- points held
    captured  bigint      NOT NULL DEFAULT 0,   -- points that went to the exchange
    released  bigint      NOT NULL DEFAULT 0,   -- points given back
    open      boolean     NOT NULL DEFAULT true,
    settled   boolean     NOT NULL DEFAULT false, -- a payout, also of nothing, was made
    owner     text        NOT NULL,             -- the job that must end it
    placed_at timestamptz NOT NULL,
    closed_at timestamptz,
    CONSTRAINT hold_once PRIMARY KEY (hold),
    CONSTRAINT hold_amount_positive CHECK (amount > 0),
    CONSTRAINT hold_ends_once CHECK (CASE WHEN open THEN captured = 0 AND released = 0
                                          ELSE captured >= 0 AND released >= 0 AND captured + released = amount END),
    CONSTRAINT hold_closed_at CHECK (open = (closed_at IS NULL))
) WITH (fillfactor = 80);
CREATE INDEX hold_open ON ledger.hold (shard, placed_at) WHERE open;

-- What a stake paid back, with the lot it made. Append-only.
CREATE TABLE ledger.payout (
    hold   uuid     NOT NULL,
    key    uuid     NOT NULL,                   -- command key
    member uuid     NOT NULL,
    points bigint   NOT NULL,
    lot_lo bigint   NOT NULL,
    lot_hi bigint   NOT NULL,
    CONSTRAINT payout_once PRIMARY KEY (hold, key),
    CONSTRAINT payout_lot CHECK (points >= 0 AND lot_hi - lot_lo = points)
);

-- A returned purchase's part of a stake that had not ended. Append-only.
CREATE TABLE ledger.claim (
    hold  uuid   NOT NULL,
    key   uuid   NOT NULL,                      -- command key of the clawback
    lo    bigint NOT NULL,                      -- first point of the captured stake that came from the purchase
    hi    bigint NOT NULL,                      -- one past the last; hi - lo points were charged at the return
    CONSTRAINT claim_once PRIMARY KEY (hold, lo),
    CONSTRAINT claim_not_empty CHECK (lo >= 0 AND lo < hi)
);

-- A range of a member's lot stream that a return reached before it was used. Append-only. Void ranges
-- were taken back; owed ones were held, so they were charged instead and stay usable.
CREATE TABLE ledger.lot_void (
    member uuid   NOT NULL,
    lot_lo bigint NOT NULL,
    lot_hi bigint NOT NULL,
    owed   boolean NOT NULL,                    -- charged, not voided
    key    uuid   NOT NULL,                     -- command key of the clawback
    CONSTRAINT lot_void_once PRIMARY KEY (member, lot_lo),
    CONSTRAINT lot_void_not_empty CHECK (lot_lo < lot_hi)
);

GRANT USAGE ON SCHEMA ledger TO hunch_app;
GRANT SELECT, INSERT ON ledger.entry, ledger.house_delta, ledger.command, ledger.payout, ledger.claim, ledger.lot_void TO hunch_app;
GRANT SELECT, INSERT, UPDATE ON ledger.member_account, ledger.hold TO hunch_app;
