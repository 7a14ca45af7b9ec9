-- Which transaction booked a loss or a stake that was not taken: a sender's snapshot tells whether it could be seen when a
-- prompt was sent. Times do not tell, since a machine's clock can jump in between.
ALTER TABLE trading.orders ADD COLUMN resolved_by xid8;   -- null: not over, or over before this was kept
ALTER TABLE trading.position ADD COLUMN paid_by xid8;     -- of the newest payment; null: not paid, or paid before this was kept
