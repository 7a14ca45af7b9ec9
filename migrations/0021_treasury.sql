-- The dollar ledger. Append-only; written by hunch_treasury, in the transaction of what it books.
-- Amounts in micros of a dollar; they leave credit and arrive at debit, as assets do in bookkeeping.

CREATE TABLE treasury.entry (
    transfer uuid        NOT NULL,              -- what is booked together; derived from its cause, so it is booked once
    line     smallint    NOT NULL,
    debit    smallint    NOT NULL,              -- account codes, see hunch_treasury::Account
    credit   smallint    NOT NULL,
    exchange_shard smallint,                    -- of account 1, else null
    market   text,                              -- of account 3 and 7, else null
    amount   bigint      NOT NULL,              -- micros of a dollar
    kind     smallint    NOT NULL,              -- see hunch_treasury::EntryKind
    conversion uuid,                            -- order or chunk whose points these dollars stand for
    at       timestamptz NOT NULL,              -- business time
    CONSTRAINT entry_once PRIMARY KEY (transfer, line),
    CONSTRAINT entry_amount_positive CHECK (amount > 0),
    CONSTRAINT entry_moves CHECK (debit <> credit),
    CONSTRAINT entry_accounts CHECK (debit BETWEEN 1 AND 9 AND credit BETWEEN 1 AND 9),
    CONSTRAINT entry_shard CHECK ((exchange_shard IS NOT NULL) = (debit = 1 OR credit = 1)),
    CONSTRAINT entry_market CHECK ((market IS NOT NULL) OR NOT (debit = 3 OR credit = 3 OR debit = 7 OR credit = 7))
);
CREATE INDEX entry_cash ON treasury.entry (exchange_shard) WHERE exchange_shard IS NOT NULL;
CREATE INDEX entry_of_market ON treasury.entry (market) WHERE market IS NOT NULL;

-- What the exchange said it holds for us, beside what we think. Append-only.
CREATE TABLE treasury.cash_seen (
    seen_wall      timestamptz NOT NULL,
    exchange_shard smallint    NOT NULL,
    exchange_micros bigint     NOT NULL,        -- as the exchange says
    ledger_micros  bigint      NOT NULL,        -- as our entries say
    in_flight_micros bigint    NOT NULL,        -- the most that orders and settlements on their way can explain
    CONSTRAINT cash_seen_once PRIMARY KEY (seen_wall, exchange_shard),
    CONSTRAINT cash_seen_in_flight CHECK (in_flight_micros >= 0)
);

GRANT SELECT, INSERT ON treasury.entry, treasury.cash_seen TO hunch_app;
