-- Why what the exchange said of an order last was not believed (a stable word, by hunch_trading), and who ended an order
-- that only a person could end.
ALTER TABLE trading.orders ADD COLUMN doubt text;
ALTER TABLE trading.orders ADD COLUMN ended_by text;
