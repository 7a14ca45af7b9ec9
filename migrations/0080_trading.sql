-- Stakes, orders, the member book and the hedge book. Written only by hunch_trading.
-- Prices and money in micros of a dollar, counts in hundredths of a contract.

-- What a point is worth, by version. Frozen on every quote.
CREATE TABLE trading.rate (
    rate       integer     NOT NULL,
    micros     bigint      NOT NULL,            -- of a dollar a point
    valid_from timestamptz NOT NULL,
    CONSTRAINT rate_once PRIMARY KEY (rate),
    CONSTRAINT rate_positive CHECK (micros > 0)
);
INSERT INTO trading.rate (rate, micros, valid_from) VALUES (1, 10000, '2000-01-01T00:00:00Z');

-- An offer of ten seconds. Deleted a day after it lapsed, unless an order came of it.
CREATE TABLE trading.quote (
    quote          uuid        NOT NULL,
    member         uuid        NOT NULL,
    market         text        NOT NULL,
    category       text        NOT NULL,
    side           text        NOT NULL,
    stake_points   bigint      NOT NULL,        -- what the member wanted to stake at most
    count          bigint      NOT NULL,
    price          bigint      NOT NULL,        -- of one contract, as shown
    worst_price    bigint      NOT NULL,        -- the most that is paid for one
    hold_points    bigint      NOT NULL,
    pays_points    bigint      NOT NULL,        -- if everything fills and the side wins
    fee_millionths bigint      NOT NULL,
    rate           integer     NOT NULL,
    rate_micros    bigint      NOT NULL,
    exchange_shard smallint    NOT NULL,
    made_at        timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    CONSTRAINT quote_once PRIMARY KEY (quote),
    CONSTRAINT quote_side CHECK (side IN ('yes', 'no')),
    CONSTRAINT quote_stake CHECK (stake_points >= 10 AND hold_points BETWEEN 1 AND stake_points AND count > 0),
    CONSTRAINT quote_prices CHECK (price BETWEEN 1 AND 999999 AND worst_price BETWEEN price AND 999999)
);
CREATE INDEX quote_expires ON trading.quote (expires_at);

-- held -> sending -> accepted or unknown -> filled, partial, killed, refused. Every state before the last four has an
-- owner that ends it: the dispatcher ends held, the resolver the others.
CREATE TABLE trading.orders (
    order_id          uuid        NOT NULL,
    quote             uuid        NOT NULL,
    member            uuid        NOT NULL,
    shard             smallint    NOT NULL,
    market            text        NOT NULL,
    category          text        NOT NULL,
    jurisdiction      text        NOT NULL,
    side              text        NOT NULL,
    count             bigint      NOT NULL,
    price             bigint      NOT NULL,
    worst_price       bigint      NOT NULL,
    hold_points       bigint      NOT NULL,
    rate              integer     NOT NULL,
    rate_micros       bigint      NOT NULL,
    exchange_shard    smallint    NOT NULL,
    standing_version  bigint      NOT NULL,     -- at which it was permitted
    permit_until      timestamptz NOT NULL,     -- wall time
    quote_until       timestamptz NOT NULL,     -- business time
    placed_at         timestamptz NOT NULL,
    placed_wall       timestamptz NOT NULL,
    state             text        NOT NULL,
    attempt           smallint    NOT NULL,
    client_order_id   uuid        NOT NULL,     -- of the present attempt; all are in trading.attempt
    sent_at           timestamptz,              -- business time of the present attempt
    sent_wall         timestamptz,
    looks             integer     NOT NULL DEFAULT 0,
    next_look_wall    timestamptz NOT NULL,
    was_unknown       boolean     NOT NULL DEFAULT false,
    exchange_order_id text,
    filled            bigint      NOT NULL DEFAULT 0,
    cost_micros       bigint      NOT NULL DEFAULT 0,
    fees_micros       bigint      NOT NULL DEFAULT 0,
    captured_points   bigint      NOT NULL DEFAULT 0,
    released_points   bigint      NOT NULL DEFAULT 0,
    reason            text,                     -- stable word, of what did not fill
    resolved_at       timestamptz,
    resolved_wall     timestamptz,
    CONSTRAINT orders_once PRIMARY KEY (order_id),
    CONSTRAINT orders_one_per_quote UNIQUE (quote),
    CONSTRAINT orders_client_id_once UNIQUE (client_order_id),
    CONSTRAINT orders_side CHECK (side IN ('yes', 'no')),
    CONSTRAINT orders_state CHECK (state IN ('held', 'sending', 'accepted', 'unknown', 'filled', 'partial', 'killed', 'refused')),
    CONSTRAINT orders_sent CHECK (state IN ('held', 'refused') OR sent_at IS NOT NULL),
    CONSTRAINT orders_end CHECK ((state IN ('filled', 'partial', 'killed', 'refused')) = (resolved_at IS NOT NULL)),
    CONSTRAINT orders_points CHECK (CASE WHEN resolved_at IS NULL THEN captured_points = 0 AND released_points = 0
                                         ELSE captured_points >= 0 AND released_points >= 0 AND captured_points + released_points = hold_points END),
    CONSTRAINT orders_filled CHECK (filled >= 0 AND (state NOT IN ('killed', 'refused') OR filled = 0))
);
CREATE INDEX orders_open ON trading.orders (state, next_look_wall) WHERE resolved_at IS NULL;
CREATE INDEX orders_open_of_market ON trading.orders (market) WHERE resolved_at IS NULL;
CREATE INDEX orders_of_member ON trading.orders (member, placed_at DESC, order_id DESC);
CREATE INDEX orders_newest ON trading.orders (placed_at DESC);
CREATE INDEX orders_recent ON trading.orders (resolved_wall) WHERE resolved_wall IS NOT NULL;

-- Every client order id that was ever made, stored before it was sent. Append-only.
CREATE TABLE trading.attempt (
    client_order_id uuid        NOT NULL,
    order_id        uuid        NOT NULL,
    attempt         smallint    NOT NULL,
    stored_at       timestamptz NOT NULL,
    CONSTRAINT attempt_once PRIMARY KEY (client_order_id),
    CONSTRAINT attempt_number UNIQUE (order_id, attempt)
);

-- Our fills as the exchange told them. Append-only.
CREATE TABLE trading.fill (
    fill_id           text        NOT NULL,
    exchange_order_id text        NOT NULL,
    market            text        NOT NULL,
    side              text        NOT NULL,
    count             bigint      NOT NULL,
    price             bigint      NOT NULL,     -- of the side
    fee_micros        bigint      NOT NULL,
    filled_at         timestamptz NOT NULL,     -- by the exchange's clock
    CONSTRAINT fill_once PRIMARY KEY (fill_id),
    CONSTRAINT fill_amounts CHECK (count > 0 AND price BETWEEN 0 AND 1000000 AND fee_micros >= 0)
);
CREATE INDEX fill_of_order ON trading.fill (exchange_order_id);

-- The member book: one position per filled order, paid once.
CREATE TABLE trading.position (
    position      uuid        NOT NULL,
    order_id      uuid        NOT NULL,
    member        uuid        NOT NULL,
    shard         smallint    NOT NULL,
    market        text        NOT NULL,
    category      text        NOT NULL,
    side          text        NOT NULL,
    count         bigint      NOT NULL,
    cost_points   bigint      NOT NULL,
    rate_micros   bigint      NOT NULL,
    opened_at     timestamptz NOT NULL,
    paid_revision smallint,                     -- of the determination that was paid
    result        text,
    gross_micros  bigint,                       -- what the contracts were worth
    paid_points   bigint,
    paid_at       timestamptz,
    paid_wall     timestamptz,
    CONSTRAINT position_once PRIMARY KEY (position),
    CONSTRAINT position_of_order UNIQUE (order_id),
    CONSTRAINT position_count CHECK (count > 0 AND cost_points >= 0),
    CONSTRAINT position_paid CHECK ((paid_at IS NULL) = (paid_points IS NULL) AND (paid_at IS NULL) = (paid_revision IS NULL)
                                    AND (paid_at IS NULL) = (result IS NULL) AND (paid_at IS NULL) = (gross_micros IS NULL)),
    CONSTRAINT position_paid_points CHECK (paid_points >= 0)
) WITH (fillfactor = 80);
CREATE INDEX position_unpaid ON trading.position (market, shard) WHERE paid_at IS NULL;
CREATE INDEX position_of_member ON trading.position (member, opened_at DESC, position DESC);
CREATE INDEX position_of_market ON trading.position (market);

-- The hedge book: everything ever bought in a market on the one account at the exchange.
CREATE TABLE trading.hedge (
    market         text     NOT NULL,
    exchange_shard smallint NOT NULL,
    yes            bigint   NOT NULL,
    no             bigint   NOT NULL,
    house_yes      bigint   NOT NULL DEFAULT 0, -- contracts that are the house's
    house_no       bigint   NOT NULL DEFAULT 0,
    settled        boolean  NOT NULL DEFAULT false, -- every position is paid
    revenue_micros bigint,                      -- what the exchange paid; null until booked
    CONSTRAINT hedge_once PRIMARY KEY (market),
    CONSTRAINT hedge_counts CHECK (yes >= 0 AND no >= 0 AND house_yes BETWEEN 0 AND yes AND house_no BETWEEN 0 AND no)
);
CREATE INDEX hedge_open ON trading.hedge (market) WHERE NOT settled OR revenue_micros IS NULL;

-- When a market's last position was paid. Append-only.
CREATE TABLE trading.market_paid (
    market        text        NOT NULL,
    revision      smallint    NOT NULL,
    positions     bigint      NOT NULL,
    paid_points   bigint      NOT NULL,
    seen_wall     timestamptz NOT NULL,         -- first sight of the final result
    credited_wall timestamptz NOT NULL,
    CONSTRAINT market_paid_once PRIMARY KEY (market)
);

-- The exchange's own settlement rows, which it does not keep for ever. Append-only.
CREATE TABLE trading.exchange_settlement (
    market         text        NOT NULL,
    settled_at     timestamptz NOT NULL,
    result         text        NOT NULL,
    revenue_micros bigint      NOT NULL,
    fees_micros    bigint      NOT NULL,
    CONSTRAINT exchange_settlement_once PRIMARY KEY (market, settled_at)
);

-- The last comparison of our net position with the exchange's.
CREATE TABLE trading.net_seen (
    market        text        NOT NULL,
    seen_wall     timestamptz NOT NULL,
    exchange_net  bigint      NOT NULL,
    book_net      bigint      NOT NULL,
    in_flight     bigint      NOT NULL,         -- the most that orders on their way can explain
    CONSTRAINT net_seen_once PRIMARY KEY (market)
);

-- Calls of the settlement webhook: hints, each taken once. Unknown markets are parked until they are known.
CREATE TABLE trading.settlement_hint (
    digest      bytea       NOT NULL,           -- SHA-256 of the body
    market      text        NOT NULL,
    member      uuid,
    received_at timestamptz NOT NULL,
    parked      boolean     NOT NULL,
    CONSTRAINT settlement_hint_once PRIMARY KEY (digest)
);
CREATE INDEX settlement_hint_parked ON trading.settlement_hint (received_at) WHERE parked;

-- After a final result only two people together change what was paid.
CREATE TABLE trading.correction (
    correction  uuid        NOT NULL,
    market      text        NOT NULL,
    result      text        NOT NULL,
    value       bigint      NOT NULL,
    reason      text        NOT NULL,
    proposed_by text        NOT NULL,
    proposed_at timestamptz NOT NULL,
    approved_by text,
    approved_at timestamptz,
    finished_at timestamptz,
    CONSTRAINT correction_once PRIMARY KEY (correction),
    CONSTRAINT correction_result CHECK (result IN ('yes', 'no', 'scalar') AND value BETWEEN 0 AND 1000000),
    CONSTRAINT correction_two_people CHECK (approved_by <> proposed_by),
    CONSTRAINT correction_approved CHECK ((approved_by IS NULL) = (approved_at IS NULL) AND (finished_at IS NULL OR approved_at IS NOT NULL))
);
CREATE UNIQUE INDEX correction_open ON trading.correction (market) WHERE finished_at IS NULL;

-- One row per position and correction: what was taken back and paid anew. Append-only.
CREATE TABLE trading.corrected (
    correction    uuid   NOT NULL,
    position      uuid   NOT NULL,
    before_points bigint NOT NULL,
    taken_points  bigint NOT NULL,
    lost_points   bigint NOT NULL,
    paid_points   bigint NOT NULL,
    CONSTRAINT corrected_once PRIMARY KEY (correction, position),
    CONSTRAINT corrected_sum CHECK (before_points = taken_points + lost_points AND taken_points >= 0 AND lost_points >= 0 AND paid_points >= 0)
);

-- The one switch to stop staking.
CREATE TABLE trading.switch (
    name       text        NOT NULL,
    is_on      boolean     NOT NULL,
    reason     text        NOT NULL,
    changed_at timestamptz NOT NULL,
    CONSTRAINT switch_once PRIMARY KEY (name)
);
INSERT INTO trading.switch (name, is_on, reason, changed_at) VALUES ('staking', true, '', '2000-01-01T00:00:00Z');

GRANT SELECT ON trading.rate TO hunch_app;
GRANT SELECT, INSERT ON trading.attempt, trading.fill, trading.market_paid, trading.exchange_settlement, trading.corrected TO hunch_app;
GRANT SELECT, INSERT, UPDATE ON trading.orders, trading.position, trading.hedge, trading.net_seen, trading.settlement_hint,
    trading.correction, trading.switch TO hunch_app;
GRANT SELECT, INSERT, DELETE ON trading.quote TO hunch_app;
