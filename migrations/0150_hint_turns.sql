-- When the market of a parked hint was last looked for (wall time, by hunch_trading): the longest ago comes next. Hints of
-- before have none, and come first.
ALTER TABLE trading.settlement_hint ADD COLUMN looked_wall timestamptz;
