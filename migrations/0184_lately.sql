-- What is asked of the last hours is found without reading everything. Rows arrive in this order, so that coarse indexes are enough
-- and cost next to nothing.

CREATE INDEX notice_made_lately ON messaging.notice USING brin (made_wall_at);
CREATE INDEX attempt_ended_lately ON messaging.attempt USING brin (ended_at);
CREATE INDEX orders_placed_lately ON trading.orders USING brin (placed_at);
CREATE INDEX decision_lately ON engage.decision USING brin (at);
CREATE INDEX answer_lately ON engage.answer USING brin (at);
CREATE INDEX position_paid ON trading.position (paid_at) WHERE paid_at IS NOT NULL;
