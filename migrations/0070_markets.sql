-- Markets of the exchange as last seen, and what became of them. Written only by hunch_markets.
-- Prices in micros of a dollar, counts in hundredths of a contract.

-- Which of our kinds a series belongs to. The first rule that fits counts, by rank.
CREATE TABLE markets.kind_rule (
    rank     smallint NOT NULL,
    field    text     NOT NULL,                 -- category, tag, or series (a prefix of the ticker)
    value    text     NOT NULL,                 -- the exchange's own word
    kind     text     NOT NULL,
    CONSTRAINT kind_rule_once PRIMARY KEY (rank),
    CONSTRAINT kind_rule_field CHECK (field IN ('category', 'tag', 'series')),
    CONSTRAINT kind_rule_kind CHECK (kind IN ('sports', 'events', 'weather', 'local'))
);
-- What is local to a town is for its operator to say: rows with a lower rank. Everything else is an event.
INSERT INTO markets.kind_rule (rank, field, value, kind) VALUES
    (100, 'tag',      'Town life',           'local'),
    (101, 'tag',      'Transit',             'local'),
    (102, 'tag',      'Traffic',             'local'),
    (103, 'category', 'Transportation',      'local'),
    (200, 'category', 'Sports',              'sports'),
    (201, 'category', 'Climate and Weather', 'weather');

CREATE TABLE markets.series (
    ticker         text   NOT NULL,
    title          text   NOT NULL,
    category       text   NOT NULL,             -- the exchange's own word
    tags           text[] NOT NULL,
    kind           text   NOT NULL,
    fee_millionths bigint,                      -- of count x price x (1 - price); null: a schedule we cannot compute
    CONSTRAINT series_once PRIMARY KEY (ticker),
    CONSTRAINT series_kind CHECK (kind IN ('sports', 'events', 'weather', 'local'))
);

CREATE TABLE markets.event (
    ticker         text     NOT NULL,
    series         text     NOT NULL,
    title          text     NOT NULL,
    sub_title      text     NOT NULL,
    own_fee        boolean  NOT NULL,           -- the event's fee beats the series'
    fee_millionths bigint,
    CONSTRAINT event_once PRIMARY KEY (ticker),
    CONSTRAINT event_of_series FOREIGN KEY (series) REFERENCES markets.series (ticker)
);

CREATE TABLE markets.market (
    ticker           text        NOT NULL,
    event            text        NOT NULL,
    title            text        NOT NULL,
    yes_label        text        NOT NULL,
    no_label         text        NOT NULL,
    rules            text        NOT NULL,
    status           text        NOT NULL,
    result           text,                      -- while determined it may still be amended
    settlement_value bigint,                    -- what one YES contract pays
    yes_bid          bigint,
    yes_ask          bigint,
    last_price       bigint,
    volume           bigint      NOT NULL,
    bands            bigint[]    NOT NULL,      -- start, end, step of each price band, one after the other
    open_time        timestamptz NOT NULL,
    close_time       timestamptz NOT NULL,
    expected_end     timestamptz,
    occurs_at        timestamptz,
    ends_at          timestamptz NOT NULL,      -- when a stake can no longer be placed, as far as is known
    exchange_shard   smallint    NOT NULL,
    watched          boolean     NOT NULL DEFAULT false, -- somebody has a stake here: its result is looked for
    seen_at          timestamptz NOT NULL,
    CONSTRAINT market_once PRIMARY KEY (ticker),
    CONSTRAINT market_of_event FOREIGN KEY (event) REFERENCES markets.event (ticker),
    CONSTRAINT market_status CHECK (status IN ('initialized', 'inactive', 'active', 'closed', 'determined', 'disputed', 'amended', 'finalized')),
    CONSTRAINT market_result CHECK (result IN ('yes', 'no', 'scalar')),
    CONSTRAINT market_value CHECK (settlement_value BETWEEN 0 AND 1000000),
    CONSTRAINT market_final CHECK (status <> 'finalized' OR (result IS NOT NULL AND settlement_value IS NOT NULL)),
    CONSTRAINT market_prices CHECK (yes_bid BETWEEN 0 AND 1000000 AND yes_ask BETWEEN 0 AND 1000000)
);
CREATE INDEX market_watched ON markets.market (ticker) WHERE watched AND status <> 'finalized';
CREATE INDEX market_ends ON markets.market (ends_at);

-- Every result that the exchange ever named for a market, in order. Append-only.
CREATE TABLE markets.determination (
    ticker    text        NOT NULL,
    revision  smallint    NOT NULL,             -- 1, and one more for each amendment
    result    text        NOT NULL,
    value     bigint      NOT NULL,             -- what one YES contract pays
    seen_at   timestamptz NOT NULL,             -- business time
    seen_wall timestamptz NOT NULL,
    CONSTRAINT determination_once PRIMARY KEY (ticker, revision),
    CONSTRAINT determination_result CHECK (result IN ('yes', 'no', 'scalar')),
    CONSTRAINT determination_value CHECK (value BETWEEN 0 AND 1000000)
);

-- The result that is paid, once and for ever. Append-only.
CREATE TABLE markets.final (
    ticker     text        NOT NULL,
    revision   smallint    NOT NULL,
    result     text        NOT NULL,
    value      bigint      NOT NULL,
    settled_at timestamptz NOT NULL,            -- when the exchange paid, by its own clock
    seen_at    timestamptz NOT NULL,            -- when we first saw it, business time
    seen_wall  timestamptz NOT NULL,
    CONSTRAINT final_once PRIMARY KEY (ticker),
    CONSTRAINT final_of_determination FOREIGN KEY (ticker, revision) REFERENCES markets.determination (ticker, revision)
);

GRANT SELECT ON markets.kind_rule TO hunch_app;
GRANT SELECT, INSERT ON markets.determination, markets.final TO hunch_app;
GRANT SELECT, INSERT, UPDATE ON markets.series, markets.event, markets.market TO hunch_app;
