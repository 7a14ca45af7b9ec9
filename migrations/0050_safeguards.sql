-- Who may stake what, where and how much. Written only by hunch_safeguards.

-- Rules as data with dates: the most specific row in force counts (place before category before '*').
CREATE TABLE safeguards.rule (
    jurisdiction text        NOT NULL,          -- ISO 3166 such as US-NY, a country such as US, or *
    category     text        NOT NULL,          -- sports, events, weather, local, or *
    minimum_age  smallint    NOT NULL,          -- years on the local day
    allowed      boolean     NOT NULL,
    valid_from   timestamptz NOT NULL,
    valid_to     timestamptz,
    CONSTRAINT rule_once PRIMARY KEY (jurisdiction, category, valid_from),
    CONSTRAINT rule_age CHECK (minimum_age BETWEEN 18 AND 99),
    CONSTRAINT rule_dates CHECK (valid_to IS NULL OR valid_to > valid_from)
);
INSERT INTO safeguards.rule (jurisdiction, category, minimum_age, allowed, valid_from) VALUES
    ('*',     '*',      18, false, '2000-01-01T00:00:00Z'),   -- nowhere unless a row says so
    ('US',    '*',      18, true,  '2000-01-01T00:00:00Z'),
    ('US-MA', '*',      21, true,  '2000-01-01T00:00:00Z'),
    ('US-NV', 'sports', 18, false, '2000-01-01T00:00:00Z'),
    ('US-NV', 'events', 18, false, '2000-01-01T00:00:00Z');

-- One row per member who ever changed or staked anything. The version rises with every change that may
-- take a right away, so that a permit given before is void.
CREATE TABLE safeguards.standing (
    member           uuid        NOT NULL,
    version          bigint      NOT NULL DEFAULT 1,
    excluded_until   timestamptz,               -- 'infinity' for life
    break_until      timestamptz,
    prompts_on       boolean     NOT NULL DEFAULT true, -- wants to be prompted to stake
    day_points       bigint,                    -- own limit; null: the house's
    week_points      bigint,
    raise_day        bigint,                    -- asked for, not in force
    raise_week       bigint,
    raise_after      timestamptz,               -- may be confirmed from then on
    CONSTRAINT standing_once PRIMARY KEY (member),
    CONSTRAINT standing_limits CHECK (day_points >= 0 AND week_points >= 0),
    CONSTRAINT standing_raise CHECK ((raise_after IS NULL) = (raise_day IS NULL AND raise_week IS NULL))
);

-- Where a member was found to be: the jurisdiction and the time, never the place itself.
CREATE TABLE safeguards.place (
    member       uuid        NOT NULL,
    jurisdiction text        NOT NULL,
    expires_at   timestamptz NOT NULL,          -- business time
    CONSTRAINT place_once PRIMARY KEY (member)
);

-- Points staked in a local day (kind 1) or week (kind 2, from Monday). Holds count in full.
CREATE TABLE safeguards.usage (
    member uuid     NOT NULL,
    kind   smallint NOT NULL,
    starts date     NOT NULL,                   -- in the member's zone
    points bigint   NOT NULL,
    CONSTRAINT usage_once PRIMARY KEY (member, kind, starts),
    CONSTRAINT usage_kind CHECK (kind IN (1, 2)),
    CONSTRAINT usage_not_negative CHECK (points >= 0)
);

-- What an order was charged, with its windows frozen. Only unfilled stake comes back.
CREATE TABLE safeguards.charge (
    order_id uuid   NOT NULL,
    member   uuid   NOT NULL,
    day      date   NOT NULL,
    week     date   NOT NULL,
    points   bigint NOT NULL,
    restored bigint NOT NULL DEFAULT 0,
    version  bigint NOT NULL,                   -- standing at which it was permitted
    CONSTRAINT charge_once PRIMARY KEY (order_id),
    CONSTRAINT charge_points CHECK (points > 0 AND restored BETWEEN 0 AND points)
);

-- Every exclusion and break, for proof. Append-only.
CREATE TABLE safeguards.protection (
    id         bigint GENERATED ALWAYS AS IDENTITY,
    member     uuid        NOT NULL,
    kind       text        NOT NULL,            -- exclusion or break
    term       text        NOT NULL,
    started_at timestamptz NOT NULL,
    ends_at    timestamptz NOT NULL,            -- 'infinity' for life
    CONSTRAINT protection_once PRIMARY KEY (id)
);

GRANT SELECT ON safeguards.rule TO hunch_app;
GRANT SELECT, INSERT ON safeguards.protection TO hunch_app;
GRANT SELECT, INSERT, UPDATE ON safeguards.standing, safeguards.place, safeguards.usage, safeguards.charge TO hunch_app;
