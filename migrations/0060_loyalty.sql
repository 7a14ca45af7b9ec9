-- Merchants, their tills, what a purchase earns, and every receipt.

CREATE TABLE loyalty.merchant (
    merchant   uuid        NOT NULL,
    name       text        NOT NULL,            -- shown to members
    category   text        NOT NULL,            -- bakery, cafe, grocer …
    zone       text        NOT NULL,            -- IANA time zone of the shop
    currency   text        NOT NULL,            -- ISO 4217; a till in another currency is refused
    joined_at  timestamptz NOT NULL,            -- business time
    CONSTRAINT merchant_once PRIMARY KEY (merchant),
    CONSTRAINT merchant_currency CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT merchant_name_length CHECK (length(name) BETWEEN 1 AND 80)
);

-- A till. Its secret is shown once and kept as a hash.
CREATE TABLE loyalty.terminal (
    terminal      uuid        NOT NULL,
    merchant      uuid        NOT NULL REFERENCES loyalty.merchant,
    name          text        NOT NULL,
    secret_sha256 bytea       NOT NULL,
    active        boolean     NOT NULL DEFAULT true,
    made_at       timestamptz NOT NULL,
    CONSTRAINT terminal_once PRIMARY KEY (terminal)
);

-- A till's signing key for a day. Written at POST /v1/pos/sessions.
CREATE TABLE loyalty.terminal_session (
    session    uuid        NOT NULL,
    terminal   uuid        NOT NULL REFERENCES loyalty.terminal,
    hmac_key   bytea       NOT NULL,            -- 32 bytes, HMAC-SHA256
    expires_at timestamptz NOT NULL,            -- wall time
    CONSTRAINT terminal_session_once PRIMARY KEY (session),
    CONSTRAINT terminal_session_key_length CHECK (length(hmac_key) = 32)
);

-- What a purchase earns, as data with effective dates: points per whole unit of `per_cents`, plus points per
-- visit. The rule in force when the purchase was made counts, also for late receipts.
CREATE TABLE loyalty.earn_rule (
    rule             uuid        NOT NULL,
    merchant         uuid        NOT NULL REFERENCES loyalty.merchant,
    points_per_unit  bigint      NOT NULL,
    per_cents        bigint      NOT NULL,      -- size of a unit in minor units of the currency
    points_per_visit bigint      NOT NULL,
    points_max       bigint      NOT NULL,      -- most points of one purchase
    valid_from       timestamptz NOT NULL,
    valid_to         timestamptz,
    CONSTRAINT earn_rule_once PRIMARY KEY (rule),
    CONSTRAINT earn_rule_start UNIQUE (merchant, valid_from),
    CONSTRAINT earn_rule_amounts CHECK (points_per_unit >= 0 AND per_cents > 0 AND points_per_visit >= 0 AND points_max > 0),
    CONSTRAINT earn_rule_dates CHECK (valid_to IS NULL OR valid_to > valid_from)
);

-- One receipt of one till, for ever. Append-only; returns are rows of their own. Hot: no foreign keys.
CREATE TABLE loyalty.purchase (
    purchase      uuid        NOT NULL,         -- derived from terminal and receipt
    shard         smallint    NOT NULL,
    seq           bigint      NOT NULL,         -- message that announced it
    member        uuid        NOT NULL,
    merchant      uuid        NOT NULL,
    terminal      uuid        NOT NULL,
    receipt       text        NOT NULL,         -- the till's own number
    amount_cents  bigint      NOT NULL,         -- minor units of the merchant's currency
    points        bigint      NOT NULL,         -- credited; zero when the amount earns nothing
    purchased_at  timestamptz NOT NULL,         -- business time at the till
    recorded_at   timestamptz NOT NULL,         -- business time here
    CONSTRAINT purchase_once PRIMARY KEY (purchase),
    CONSTRAINT purchase_amount_positive CHECK (amount_cents > 0),
    CONSTRAINT purchase_points CHECK (points >= 0)
);
-- Rows arrive in this order, so a coarse index is enough and costs next to nothing.
CREATE INDEX purchase_recorded ON loyalty.purchase USING brin (recorded_at);
CREATE INDEX purchase_of_member ON loyalty.purchase (member, purchased_at DESC);

-- A purchase that came back whole. Append-only.
CREATE TABLE loyalty.purchase_return (
    purchase    uuid        NOT NULL,
    shard       smallint    NOT NULL,
    seq         bigint      NOT NULL,
    terminal    uuid        NOT NULL,           -- where it was returned
    clawed_back bigint      NOT NULL,           -- points taken at once
    owed        bigint      NOT NULL,           -- what the member owed just after
    returned_at timestamptz NOT NULL,
    CONSTRAINT purchase_return_once PRIMARY KEY (purchase)
);

-- A member code shown at a till: single use.
CREATE TABLE loyalty.member_code (
    code       uuid        NOT NULL,            -- random pseudonym; says nothing about the member
    member     uuid        NOT NULL,
    expires_at timestamptz NOT NULL,            -- business time
    used_at    timestamptz,
    used_by    uuid,                            -- terminal
    used_for   uuid,                            -- purchase: the same receipt may present the code again
    CONSTRAINT member_code_once PRIMARY KEY (code)
);

-- Codes that were refused, for the fraud desk.
CREATE TABLE loyalty.refused_code (
    id       bigint GENERATED ALWAYS AS IDENTITY,
    terminal uuid        NOT NULL,
    reason   text        NOT NULL,              -- used, expired, foreign
    code     uuid,                              -- if it was one of ours
    at       timestamptz NOT NULL,
    CONSTRAINT refused_code_once PRIMARY KEY (id)
);

-- What a merchant offers its members besides points per purchase.
CREATE TABLE loyalty.offer (
    offer        uuid        NOT NULL,
    merchant     uuid        NOT NULL REFERENCES loyalty.merchant,
    title        text        NOT NULL,
    bonus_points bigint      NOT NULL,
    valid_from   timestamptz NOT NULL,
    valid_to     timestamptz NOT NULL,
    CONSTRAINT offer_once PRIMARY KEY (offer),
    CONSTRAINT offer_dates CHECK (valid_to > valid_from),
    CONSTRAINT offer_bonus_positive CHECK (bonus_points > 0)
);

GRANT SELECT, INSERT ON loyalty.merchant, loyalty.terminal_session, loyalty.earn_rule, loyalty.purchase,
    loyalty.purchase_return, loyalty.refused_code, loyalty.offer TO hunch_app;
GRANT SELECT, INSERT, UPDATE ON loyalty.terminal, loyalty.member_code TO hunch_app;
GRANT DELETE ON loyalty.terminal_session, loyalty.member_code TO hunch_app;
