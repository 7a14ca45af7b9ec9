//! The checks, as SQL. Each statement takes `$1`, whether to look at everything, and gives
//! (checked, violations, first violations).

/// One check of one invariant.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    pub id: &'static str,
    pub title: &'static str,
    pub sql: &'static str,
}

/// Wraps a query of `(ok boolean, what text, place)` rows into the counts. `place` orders what is shown first.
macro_rules! check {
    ($id:literal, $title:literal, $rows:literal) => {
        Check {
            id: $id,
            title: $title,
            sql: concat!(
                "SELECT count(*), count(*) FILTER (WHERE ok IS NOT TRUE), ",
                "(array_agg(what ORDER BY place) FILTER (WHERE ok IS NOT TRUE))[1:20] ",
                "FROM (",
                $rows,
                ") AS looked(ok, what, place) WHERE $1 IS NOT NULL"
            ),
        }
    };
}

mod care;

/// All of them, in the order of `ARCHITECTURE.md`, "What always holds".
pub const CHECKS: &[Check] = &[
    check!(
        "L1",
        "all balances and house deltas together are zero",
        "SELECT (SELECT coalesce(sum(available + held + provisional + debt), 0) FROM ledger.member_account)
              + (SELECT coalesce(sum(delta), 0) FROM ledger.house_delta) = 0,
                'the sum is not zero', 0
         FROM ledger.member_account"
    ),
    check!(
        "L2",
        "no account is below its minimum, and nobody owes while points are available",
        "SELECT available >= 0 AND held >= 0 AND provisional >= 0 AND debt <= 0 AND (debt = 0 OR available = 0),
                'member ' || member || ': ' || concat_ws('/', available, held, provisional, debt), member::text
         FROM ledger.member_account"
    ),
    check!(
        "L3",
        "every accepted command is in the log, and every entry belongs to one",
        "SELECT c.seq IS NOT NULL, 'shard ' || e.shard || ', message ' || e.seq || ': an entry without a command', e.shard * 1e15 + e.seq
         FROM (SELECT DISTINCT shard, seq FROM ledger.entry) e
         LEFT JOIN ledger.command c USING (shard, seq)
         UNION ALL
         SELECT c.seq <= h.last_seq, 'shard ' || c.shard || ', message ' || c.seq || ': a command beyond the log', c.shard * 1e15 + c.seq
         FROM ledger.command c JOIN log.shard_head h USING (shard)"
    ),
    check!(
        "L4",
        "the hash chain of every shard is whole and covers its entries",
        "SELECT b.prev_hash = b.before AND b.first_seq = b.before_seq + 1
                AND b.hash = sha256(b.prev_hash || int8send(b.first_seq) || int8send(b.last_seq) || sha256(b.payload) || b.entries_hash)
                AND b.entries_hash = coalesce(e.digest, sha256('')),
                'shard ' || b.shard || ', messages ' || b.first_seq || '-' || b.last_seq ||
                CASE WHEN b.prev_hash <> b.before OR b.first_seq <> b.before_seq + 1 THEN ': does not follow the batch before'
                     WHEN b.entries_hash <> coalesce(e.digest, sha256('')) THEN ': its ledger entries were changed'
                     ELSE ': its content was changed' END,
                b.shard * 1e15 + b.first_seq
         FROM (SELECT l.shard, l.first_seq, l.last_seq, l.prev_hash, l.hash, l.entries_hash, l.payload,
                      lag(l.hash, 1, coalesce(m.hash, decode(repeat('00', 32), 'hex'))) OVER w AS before,
                      lag(l.last_seq, 1, coalesce(m.last_seq, 0)) OVER w AS before_seq
               FROM log.batch l LEFT JOIN audit.mark m ON m.shard = l.shard AND NOT $1
               WHERE l.last_seq > coalesce(m.last_seq, 0)
               WINDOW w AS (PARTITION BY l.shard ORDER BY l.last_seq)) b
         LEFT JOIN LATERAL (
               SELECT sha256(convert_to(string_agg(concat_ws('|', shard, seq, line, member, debit, credit, house, amount, reason, source,
                      coalesce(lot_lo::text, ''), coalesce(lot_hi::text, ''), (extract(epoch FROM at) * 1000000)::bigint) || E'\\n', '' ORDER BY seq, line), 'UTF8')) AS digest
               FROM ledger.entry e WHERE e.shard = b.shard AND e.seq BETWEEN b.first_seq AND b.last_seq) e ON true"
    ),
    check!(
        "L4h",
        "the head of every shard is its newest batch, and no mark or batch is missing",
        "SELECT h.last_seq = coalesce(b.last_seq, 0) AND (b.hash IS NULL OR h.hash = b.hash)
                AND (m.hash IS NULL OR EXISTS (SELECT 1 FROM log.batch k WHERE k.shard = h.shard AND k.last_seq = m.last_seq AND k.hash = m.hash)),
                'shard ' || h.shard || ': the head says ' || h.last_seq || ', the log ends at ' || coalesce(b.last_seq, 0), h.shard
         FROM log.shard_head h
         LEFT JOIN LATERAL (SELECT last_seq, hash FROM log.batch WHERE shard = h.shard ORDER BY last_seq DESC LIMIT 1) b ON true
         LEFT JOIN audit.mark m ON m.shard = h.shard"
    ),
    check!(
        "L5",
        "every stored balance is the sum of its entries",
        "SELECT a.available = coalesce(s.available, 0) AND a.held = coalesce(s.held, 0)
                AND a.provisional = coalesce(s.provisional, 0) AND a.debt = coalesce(s.debt, 0),
                'member ' || a.member || ': stored ' || concat_ws('/', a.available, a.held, a.provisional, a.debt) ||
                ', entries say ' || concat_ws('/', coalesce(s.available, 0), coalesce(s.held, 0), coalesce(s.provisional, 0), coalesce(s.debt, 0)),
                a.member::text
         FROM ledger.member_account a
         LEFT JOIN (SELECT member,
                           sum(CASE 1 WHEN credit THEN amount WHEN debit THEN -amount ELSE 0 END) AS available,
                           sum(CASE 2 WHEN credit THEN amount WHEN debit THEN -amount ELSE 0 END) AS held,
                           sum(CASE 3 WHEN credit THEN amount WHEN debit THEN -amount ELSE 0 END) AS provisional,
                           sum(CASE 4 WHEN credit THEN amount WHEN debit THEN -amount ELSE 0 END) AS debt
                    FROM ledger.entry GROUP BY member) s USING (member)"
    ),
    check!(
        "L5h",
        "every house account is the sum of its entries",
        "SELECT coalesce(d.total, 0) = coalesce(e.total, 0),
                'house account ' || coalesce(d.account, e.account) || ' of ' || coalesce(d.house, e.house) || ': stored ' ||
                coalesce(d.total, 0) || ', entries say ' || coalesce(e.total, 0), coalesce(d.account, e.account)
         FROM (SELECT account, house, sum(delta) AS total FROM ledger.house_delta GROUP BY account, house) d
         FULL JOIN (SELECT account, house, sum(amount) AS total
                    FROM (SELECT debit AS account, CASE debit WHEN 10 THEN house ELSE '00000000-0000-0000-0000-000000000000'::uuid END AS house, -amount AS amount FROM ledger.entry WHERE debit >= 10
                          UNION ALL
                          SELECT credit, CASE credit WHEN 10 THEN house ELSE '00000000-0000-0000-0000-000000000000'::uuid END, amount FROM ledger.entry WHERE credit >= 10) moves
                    GROUP BY account, house) e USING (account, house)"
    ),
    check!(
        "L5l",
        "what a member has is exactly the unused part of the lots",
        "SELECT a.available + a.held = a.credited - a.consumed - coalesce(v.void, 0)
                AND a.credited = coalesce(c.credited, 0),
                'member ' || a.member || ': has ' || (a.available + a.held) || ', unused lots are ' ||
                (a.credited - a.consumed - coalesce(v.void, 0)), a.member::text
         FROM ledger.member_account a
         LEFT JOIN (SELECT v.member, sum(v.lot_hi - greatest(v.lot_lo, m.consumed)) AS void
                    FROM ledger.lot_void v JOIN ledger.member_account m USING (member)
                    WHERE NOT v.owed AND v.lot_hi > m.consumed GROUP BY v.member) v USING (member)
         LEFT JOIN (SELECT member, sum(amount) AS credited FROM ledger.entry WHERE credit = 1 AND (debit >= 10 OR debit = 3) GROUP BY member) c USING (member)"
    ),
    check!(
        "L5p",
        "provisional points are those of earnings that nobody decided on, and each ended once, as a whole",
        "SELECT a.provisional = coalesce(e.waiting, 0), 'member ' || a.member || ': provisional ' || a.provisional || ', earnings that wait are ' || coalesce(e.waiting, 0), a.member::text
         FROM ledger.member_account a
         LEFT JOIN (SELECT e.member, sum(e.amount) AS waiting
                    FROM ledger.entry e JOIN ledger.command c USING (shard, seq) LEFT JOIN ledger.provisional_end p ON p.earned = c.key
                    WHERE e.debit >= 10 AND e.credit = 3 AND p.earned IS NULL GROUP BY e.member) e USING (member)
         UNION ALL
         SELECT g.points = p.points AND g.member = p.member AND o.points = p.points AND o.member = p.member AND o.given = (p.outcome = 'matured') AND o.lots = (p.outcome = 'matured')
                AND o.lot_lo IS NOT DISTINCT FROM p.lot_lo AND o.lot_hi IS NOT DISTINCT FROM p.lot_hi,
                'earning ' || p.earned || ': ' || p.points || ' points ' || p.outcome || ', entries say ' || concat_ws('/', g.points, o.points), p.member::text
         FROM ledger.provisional_end p
         LEFT JOIN LATERAL (SELECT e.member, sum(e.amount) AS points FROM ledger.command c JOIN ledger.entry e USING (shard, seq)
                            WHERE c.key = p.earned AND e.debit >= 10 AND e.credit = 3 GROUP BY e.member) g ON true
         LEFT JOIN LATERAL (SELECT e.member, sum(e.amount) AS points, bool_and(e.credit = 1) AS given, bool_and(e.lot_lo IS NOT NULL) AS lots, min(e.lot_lo) AS lot_lo, max(e.lot_hi) AS lot_hi
                            FROM ledger.command c JOIN ledger.entry e USING (shard, seq)
                            WHERE c.key = p.key AND e.debit = 3 GROUP BY e.member) o ON true
         UNION ALL
         SELECT coalesce(g.points, 0) = r.points AND replace(p.outcome, 'matured', 'confirmed') IS NOT DISTINCT FROM r.decision,
                'purchase ' || r.purchase || ': ' || r.points || ' points wait or were ' || coalesce(r.decision, 'not decided') || ', the ledger says ' ||
                coalesce(g.points, 0) || ' ' || coalesce(p.outcome, 'provisional'), r.member::text
         FROM loyalty.review r
         LEFT JOIN ledger.provisional_end p ON p.earned = r.purchase
         LEFT JOIN LATERAL (SELECT sum(e.amount) AS points FROM ledger.command c JOIN ledger.entry e USING (shard, seq)
                            WHERE c.key = r.purchase AND e.debit >= 10 AND e.credit = 3) g ON true"
    ),
    check!(
        "L5s",
        "every entry names the member's message before it, so that a statement leaves nothing out",
        "SELECT coalesce(prior_seq = before, prior_seq <= mark),
                'shard ' || shard || ', message ' || seq || ': names ' || prior_seq || ' as the one before' || coalesce(', it is ' || before, ''),
                shard * 1e15 + seq
         FROM (SELECT e.shard, e.seq, e.prior_seq, coalesce(m.last_seq, 0) AS mark,
                      lag(e.seq) OVER (PARTITION BY e.shard, e.member ORDER BY e.seq) AS before
               FROM (SELECT DISTINCT shard, member, seq, prior_seq FROM ledger.entry) e
               LEFT JOIN audit.mark m ON m.shard = e.shard AND NOT $1
               WHERE e.seq > coalesce(m.last_seq, 0)) linked
         UNION ALL
         SELECT a.last_seq = coalesce(e.last_seq, 0), 'member ' || a.member || ': the newest message is said to be ' || a.last_seq ||
                ', it is ' || coalesce(e.last_seq, 0), a.shard * 1e15 + a.last_seq
         FROM ledger.member_account a
         LEFT JOIN (SELECT shard, member, max(seq) AS last_seq FROM ledger.entry GROUP BY shard, member) e USING (shard, member)"
    ),
    check!(
        "L6",
        "one key, one effect: no source was credited twice for the same cause",
        "SELECT n = 1, 'purchase ' || source || ' was credited ' || n || ' times', source::text
         FROM (SELECT source, count(*) AS n FROM ledger.entry WHERE reason = 1 GROUP BY source) once"
    ),
    check!(
        "T1",
        "every hold is captured, released or open with an owner, and held points are the open holds",
        "SELECT CASE WHEN open THEN captured = 0 AND released = 0 AND owner <> '' ELSE captured + released = amount END,
                'hold ' || hold || ': amount ' || amount || ', captured ' || captured || ', released ' || released, hold::text
         FROM ledger.hold
         UNION ALL
         SELECT h.captured = coalesce(e.captured, 0) AND h.released = coalesce(e.released, 0) AND h.amount = coalesce(e.placed, 0),
                'hold ' || h.hold || ': says ' || concat_ws('/', h.amount, h.captured, h.released) || ', entries say ' || concat_ws('/', e.placed, e.captured, e.released), h.hold::text
         FROM ledger.hold h
         LEFT JOIN (SELECT source, sum(amount) FILTER (WHERE reason = 10) AS placed, sum(amount) FILTER (WHERE reason = 11) AS captured,
                           sum(amount) FILTER (WHERE reason = 12) AS released
                    FROM ledger.entry WHERE reason IN (10, 11, 12) GROUP BY source) e ON e.source = h.hold
         UNION ALL
         SELECT a.held = coalesce(h.open, 0), 'member ' || a.member || ': held ' || a.held || ', open holds ' || coalesce(h.open, 0), a.member::text
         FROM ledger.member_account a
         LEFT JOIN (SELECT member, sum(amount) AS open FROM ledger.hold WHERE open GROUP BY member) h USING (member)"
    ),
    check!(
        "E1",
        "every message has its place: sequence numbers are dense and each shard's consumers stand inside the log",
        "SELECT n = h.last_seq, 'shard ' || h.shard || ': ' || n || ' messages are numbered, the head says ' || h.last_seq, h.shard
         FROM log.shard_head h
         JOIN LATERAL (SELECT coalesce(sum(last_seq - first_seq + 1), 0) AS n FROM log.batch b WHERE b.shard = h.shard) b ON true
         UNION ALL
         SELECT p.last_seq <= h.last_seq, p.consumer || ' stands beyond the log of shard ' || p.shard, p.shard
         FROM log.consumer_position p JOIN log.shard_head h USING (shard)"
    ),
    check!(
        "E1d",
        "every purchase and return that was acted on has its decision or notice",
        "SELECT d.cause IS NOT NULL OR n.cause IS NOT NULL, 'purchase ' || b.purchase || ' was passed over', b.purchase::text
         FROM loyalty.purchase b
         JOIN log.consumer_position p ON p.consumer = 'engage' AND p.shard = b.shard AND p.last_seq >= b.seq
         LEFT JOIN engage.decision d ON d.cause = b.purchase
         LEFT JOIN messaging.notice n ON n.cause = b.purchase"
    ),
    check!(
        "E1a",
        "every answer belongs to one decision that was told of, before it and in its shard",
        "SELECT d.answer_until IS NOT NULL AND d.withheld IS NULL AND d.seq = a.asked_seq AND d.shard = a.shard AND a.asked_seq < a.seq,
                'the answer to ' || a.cause || ' fits no decision', a.cause::text
         FROM engage.answer a LEFT JOIN engage.decision d USING (member, cause)"
    ),
    check!(
        "L6p",
        "every purchase row has its points, and every return its purchase",
        "SELECT c.points = b.points, 'purchase ' || b.purchase || ': row says ' || b.points || ', ledger says ' || coalesce(c.points::text, 'nothing'), b.purchase::text
         FROM loyalty.purchase b LEFT JOIN ledger.command c ON c.key = b.purchase
         UNION ALL
         SELECT b.purchase IS NOT NULL, 'return of unknown purchase ' || r.purchase, r.purchase::text
         FROM loyalty.purchase_return r LEFT JOIN loyalty.purchase b USING (purchase)"
    ),
    check!(
        "L6o",
        "what offers gave is in their purchases and in the ledger, at that shop, in that time, within their budget, and goes back with them",
        "SELECT o.offer IS NOT NULL AND p.purchase IS NOT NULL AND o.merchant = p.merchant AND u.member = p.member AND u.points = o.bonus_points
                AND p.purchased_at >= o.valid_from AND (p.purchased_at < o.valid_to OR o.told_until IS NOT NULL)
                AND (u.returned_at IS NULL) = (r.purchase IS NULL AND coalesce(w.decision, '') <> 'taken_back'),
                'purchase ' || u.purchase || ': had offer ' || u.offer || ' and could not', u.purchase::text
         FROM loyalty.offer_use u
         LEFT JOIN loyalty.purchase p USING (purchase)
         LEFT JOIN loyalty.offer o USING (offer)
         LEFT JOIN loyalty.purchase_return r USING (purchase)
         LEFT JOIN loyalty.review w USING (purchase)
         UNION ALL
         SELECT p.offer_points = coalesce(u.points, 0) AND p.offer_points = coalesce(e.points, 0),
                'purchase ' || p.purchase || ': offers gave ' || p.offer_points || ' by its row, ' || coalesce(u.points, 0) || ' by their uses, ' ||
                coalesce(e.points, 0) || ' by the ledger', p.purchase::text
         FROM loyalty.purchase p
         LEFT JOIN (SELECT purchase, sum(points) AS points FROM loyalty.offer_use GROUP BY purchase) u USING (purchase)
         LEFT JOIN (SELECT source, sum(amount) AS points FROM ledger.entry WHERE reason = 6 GROUP BY source) e ON e.source = p.purchase
         WHERE p.offer_points <> 0 OR u.points IS NOT NULL OR e.points IS NOT NULL
         UNION ALL
         SELECT count(*) = 1, 'member ' || member || ' has offer ' || offer || ' ' || count(*) || ' times', member::text
         FROM loyalty.offer_use WHERE returned_at IS NULL GROUP BY member, offer
         UNION ALL
         SELECT sum(u.points) <= o.budget_points, 'offer ' || o.offer || ' gave ' || sum(u.points) || ' of ' || o.budget_points, o.offer::text
         FROM loyalty.offer o JOIN loyalty.offer_use u USING (offer) WHERE o.budget_points IS NOT NULL GROUP BY o.offer, o.budget_points"
    ),
    check!(
        "L6r",
        "every purchase is named by its till and receipt number, however that is spelled",
        "SELECT p.purchase = encode(set_byte(set_byte(p.h, 6, (get_byte(p.h, 6) & 15) | 128), 8, (get_byte(p.h, 8) & 63) | 128), 'hex')::uuid,
                'purchase ' || p.purchase || ' has another receipt number than its name says', p.purchase::text
         FROM (SELECT b.purchase, substring(sha256(int8send(8) || 'purchase'::bytea || int8send(16) || uuid_send(b.terminal) || int8send(octet_length(k.key)) || convert_to(k.key, 'UTF8')) FOR 16) AS h
               FROM loyalty.purchase b
               CROSS JOIN LATERAL (SELECT coalesce(b.receipt_key, b.receipt) AS key) k
               LEFT JOIN audit.mark m ON m.shard = b.shard AND NOT $1
               LEFT JOIN loyalty.receipt_spelling s USING (purchase)
               WHERE s.purchase IS NULL AND b.seq > coalesce(m.last_seq, 0)) p"
    ),
    care::PROMPTS,
    care::USAGE,
    check!(
        "U1",
        "the dollar ledger sums to zero and tells of the same points as the points ledger",
        "SELECT coalesce(sum(amount), 0) = 0, 'the sum of all dollar accounts is ' || sum(amount) || ' micros', 0::float8
         FROM (SELECT debit AS account, amount FROM treasury.entry UNION ALL SELECT credit, -amount FROM treasury.entry) moves
         UNION ALL
         SELECT coalesce(c.micros, 0) = coalesce(e.micros, 0), 'cash on exchange shard ' || exchange_shard || ' is ' || coalesce(e.micros, 0) || ' micros by its entries, ' || coalesce(c.micros, 0) || ' as summed up', 0
         FROM (SELECT exchange_shard, sum(CASE WHEN debit = 1 THEN amount ELSE -amount END) AS micros
               FROM treasury.entry WHERE exchange_shard IS NOT NULL GROUP BY 1) e
         FULL JOIN (SELECT exchange_shard, sum(micros) AS micros FROM treasury.cash_part GROUP BY 1) c USING (exchange_shard)
         UNION ALL
         SELECT coalesce(t.given, 0) = o.captured_points * o.rate_micros AND coalesce(t.cost, 0) = o.cost_micros AND coalesce(t.fees, 0) = o.fees_micros,
                'order ' || o.order_id || ': captured, cost, fees are ' || concat_ws('/', o.captured_points * o.rate_micros, o.cost_micros, o.fees_micros) ||
                ', the dollar ledger says ' || concat_ws('/', t.given, t.cost, t.fees), 1
         FROM trading.orders o
         LEFT JOIN (SELECT conversion, sum(amount) FILTER (WHERE kind = 2) AS given, sum(amount) FILTER (WHERE kind = 3) AS cost,
                           sum(amount) FILTER (WHERE kind = 4) AS fees FROM treasury.entry WHERE kind IN (2, 3, 4) GROUP BY conversion) t ON t.conversion = o.order_id
         WHERE o.filled > 0
         UNION ALL
         SELECT r.micros = o.rate_micros, 'order ' || o.order_id || ': its rate is ' || o.rate_micros || ' micros a point, version ' || o.rate || ' is ' || coalesce(r.micros::text, 'unknown'), 1
         FROM trading.orders o LEFT JOIN trading.rate r USING (rate)
         UNION ALL
         SELECT coalesce(t.paid, 0) = coalesce(p.paid, 0), 'market ' || coalesce(t.market, p.market) || ': the points paid are ' || coalesce(p.paid, 0) ||
                ' micros at their orders'' rates, the dollar ledger says ' || coalesce(t.paid, 0), 2
         FROM (SELECT market, sum(amount) AS paid FROM treasury.entry WHERE kind = 9 GROUP BY market) t
         FULL JOIN (SELECT o.market, sum(l.points * o.rate_micros) AS paid FROM ledger.payout l JOIN trading.orders o ON o.order_id = l.hold
                    GROUP BY o.market HAVING sum(l.points) > 0) p USING (market)
         UNION ALL
         SELECT coalesce(t.taken, 0) = coalesce(c.taken, 0), 'position ' || coalesce(t.conversion, c.position) || ': the points taken back are ' || coalesce(c.taken, 0) ||
                ' micros at its rate, the dollar ledger says ' || coalesce(t.taken, 0), 3
         FROM (SELECT conversion, sum(amount) AS taken FROM treasury.entry WHERE kind = 13 GROUP BY conversion) t
         FULL JOIN (SELECT c.position, sum(c.taken_points * p.rate_micros) AS taken FROM trading.corrected c JOIN trading.position p USING (position)
                    GROUP BY c.position HAVING sum(c.taken_points) > 0) c ON c.position = t.conversion
         UNION ALL
         SELECT x.points = h.points, 'points at the exchange are ' || h.points || ', stakes, payouts and corrections make ' || x.points, 4
         FROM (SELECT coalesce(sum(delta), 0) AS points FROM ledger.house_delta WHERE account = 12) h,
              (SELECT (SELECT coalesce(sum(captured_points), 0) FROM trading.orders)
                    - (SELECT coalesce(sum(l.points), 0) FROM ledger.payout l JOIN trading.orders o ON o.order_id = l.hold)
                    + (SELECT coalesce(sum(taken_points + lost_points), 0) FROM trading.corrected) AS points) x
         WHERE EXISTS (SELECT 1 FROM trading.orders)"
    ),
    check!(
        "U2",
        "our cash at the exchange is what the exchange says, save for what is on its way",
        "SELECT abs(exchange_micros - ledger_micros) <= in_flight_micros,
                'exchange shard ' || exchange_shard || ': the exchange says ' || exchange_micros || ' micros, our books ' || ledger_micros || ', on the way ' || in_flight_micros,
                exchange_shard
         FROM (SELECT DISTINCT ON (exchange_shard) * FROM treasury.cash_seen ORDER BY exchange_shard, seen_wall DESC) latest"
    ),
    check!(
        "U3",
        "a market that is over leaves nothing but fractions of a micro",
        "SELECT abs(coalesce(t.left_over, 0)) <= 4 + 4 * o.orders, 'market ' || h.market || ': ' || coalesce(t.left_over, 0) || ' micros are left over', h.market
         FROM trading.hedge h
         JOIN (SELECT market, count(*) AS orders FROM trading.orders GROUP BY market) o USING (market)
         LEFT JOIN (SELECT market, sum(CASE 3 WHEN debit THEN amount WHEN credit THEN -amount ELSE 0 END) AS left_over
                    FROM treasury.entry WHERE market IS NOT NULL GROUP BY market) t USING (market)
         WHERE h.settled AND h.revenue_micros IS NOT NULL"
    ),
    check!(
        "T1o",
        "every hold is its order's, and they end together",
        "SELECT h.hold IS NOT NULL AND h.open = (o.resolved_at IS NULL) AND h.captured = o.captured_points AND h.released = o.released_points AND h.amount = o.hold_points,
                'order ' || o.order_id || ' (' || o.state || ') and its hold differ', o.order_id::text
         FROM trading.orders o LEFT JOIN ledger.hold h ON h.hold = o.order_id"
    ),
    check!(
        "T2",
        "every client order id was stored before it was sent, one per attempt",
        "SELECT a.client_order_id IS NOT NULL AND a.attempt = o.attempt AND n.attempts = o.attempt AND coalesce(a.stored_step < o.sent_step, true),
                'order ' || o.order_id || ': attempt ' || o.attempt || ', ' || n.attempts || ' ids stored', o.order_id::text
         FROM trading.orders o
         LEFT JOIN trading.attempt a USING (client_order_id)
         LEFT JOIN (SELECT order_id, count(*) AS attempts FROM trading.attempt GROUP BY order_id) n ON n.order_id = o.order_id"
    ),
    check!(
        "T3",
        "member book and house are what was bought, what was bought is what the exchange filled and shows",
        "SELECT h.yes = coalesce(p.yes, 0) + h.house_yes AND h.no = coalesce(p.no, 0) + h.house_no,
                'market ' || h.market || ': bought ' || concat_ws('/', h.yes, h.no) || ', members hold ' || concat_ws('/', p.yes, p.no), h.market
         FROM trading.hedge h
         LEFT JOIN (SELECT market, coalesce(sum(count) FILTER (WHERE side = 'yes'), 0) AS yes, coalesce(sum(count) FILTER (WHERE side = 'no'), 0) AS no
                    FROM trading.position GROUP BY market) p USING (market)
         UNION ALL
         SELECT f.filled = o.filled, 'order ' || o.order_id || ': booked ' || o.filled || ', the exchange filled ' || f.filled, o.order_id::text
         FROM trading.orders o
         JOIN (SELECT exchange_order_id, sum(count) AS filled FROM trading.fill GROUP BY exchange_order_id) f USING (exchange_order_id)
         WHERE o.resolved_at IS NOT NULL
         UNION ALL
         SELECT o.order_id IS NOT NULL, 'the exchange filled an order that we do not know: ' || f.exchange_order_id, f.exchange_order_id
         FROM (SELECT DISTINCT exchange_order_id FROM trading.fill) f
         LEFT JOIN trading.orders o USING (exchange_order_id)
         WHERE NOT EXISTS (SELECT 1 FROM trading.orders WHERE resolved_at IS NULL)
         UNION ALL
         SELECT abs(exchange_net - book_net) <= in_flight, 'market ' || market || ': the exchange shows ' || exchange_net || ', our books ' || book_net, market
         FROM trading.net_seen"
    ),
    check!(
        "T4",
        "every position is paid once, by the final result, what the result says",
        "SELECT p.rate_micros = o.rate_micros AND p.paid_revision = f.revision
                AND p.gross_micros = worth.now AND p.paid_points = worth.now / p.rate_micros AND p.result = coalesce(k.result, f.result)
                AND l.payouts = 1 + coalesce(c.times, 0) AND l.points = worth.first / p.rate_micros + coalesce(c.paid, 0)
                AND coalesce(c.before, 0) = CASE WHEN k.correction IS NULL THEN 0 ELSE worth.first / p.rate_micros + c.paid - k.paid_points END
                AND coalesce(e.taken, 0) = coalesce(c.taken, 0) AND coalesce(e.lost, 0) = coalesce(c.lost, 0),
                'position ' || p.position || ': paid ' || p.paid_points || ' points in ' || coalesce(l.payouts, 0) || ' payouts' ||
                coalesce(' after ' || c.times || ' corrections, of which the entries took back ' || coalesce(e.taken, 0) || ' of ' || c.taken, ''), p.position::text
         FROM trading.position p
         JOIN trading.orders o USING (order_id)
         LEFT JOIN markets.final f ON f.ticker = p.market
         LEFT JOIN (SELECT hold, count(*) AS payouts, sum(points) AS points FROM ledger.payout GROUP BY hold) l ON l.hold = p.order_id
         LEFT JOIN (SELECT position, count(*) AS times, sum(before_points) AS before, sum(taken_points) AS taken, sum(lost_points) AS lost, sum(paid_points) AS paid
                    FROM trading.corrected GROUP BY position) c ON c.position = p.position
         LEFT JOIN (SELECT DISTINCT ON (d.position) d.position, d.correction, d.paid_points, k.result, k.value
                    FROM trading.corrected d JOIN trading.correction k USING (correction)
                    ORDER BY d.position, k.finished_at DESC NULLS FIRST, k.approved_at DESC, k.proposed_at DESC) k ON k.position = p.position
         LEFT JOIN (SELECT source, sum(amount) FILTER (WHERE debit <> 14) AS taken, sum(amount) FILTER (WHERE debit = 14) AS lost
                    FROM ledger.entry WHERE credit = 12 AND reason <> 11 GROUP BY source) e ON e.source = p.order_id
         CROSS JOIN LATERAL (SELECT (CASE p.side WHEN 'yes' THEN f.value ELSE 1000000 - f.value END) * p.count / 100 AS first,
                                    (CASE p.side WHEN 'yes' THEN coalesce(k.value, f.value) ELSE 1000000 - coalesce(k.value, f.value) END) * p.count / 100 AS now) worth
         WHERE p.paid_at IS NOT NULL
         UNION ALL
         SELECT p.position IS NULL, 'position ' || p.position || ' of a paid market is not paid', p.position::text
         FROM trading.market_paid m LEFT JOIN trading.position p ON p.market = m.market AND p.paid_at IS NULL
         UNION ALL
         SELECT d.correction IS NOT NULL AND k.approved_by <> k.proposed_by, 'position ' || p.position || ': a finished correction of its market passed it over', p.position::text
         FROM trading.correction k
         JOIN trading.position p ON p.market = k.market AND p.opened_at < k.finished_at
         LEFT JOIN trading.corrected d ON d.correction = k.correction AND d.position = p.position
         WHERE k.finished_at IS NOT NULL"
    ),
    check!(
        "T5",
        "nobody paid more than the hold, every contract is paid for, and by the house only beyond the hold",
        "SELECT o.captured_points <= o.hold_points AND o.captured_points * o.rate_micros + coalesce(h.paid, 0) >= o.cost_micros + o.fees_micros
                AND (o.filled = 0) = (o.captured_points = 0 AND coalesce(h.paid, 0) = 0)
                AND (coalesce(h.paid, 0) = 0 OR o.captured_points = o.hold_points OR o.filled > o.count),
                'order ' || o.order_id || ': held ' || o.hold_points || ', captured ' || o.captured_points || ' points, the house paid ' || coalesce(h.paid, 0), o.order_id::text
         FROM trading.orders o
         LEFT JOIN (SELECT conversion, sum(amount) AS paid FROM treasury.entry WHERE kind = 11 GROUP BY conversion) h ON h.conversion = o.order_id
         WHERE o.resolved_at IS NOT NULL"
    ),
    check!(
        "M1",
        "what is remembered of a member's purchases is what the purchase rows say",
        "SELECT coalesce(m.n, 0) = coalesce(s.n, 0), 'member ' || coalesce(m.member, s.member) || ', ' || coalesce(m.category, s.category) || ': remembered ' || coalesce(m.n, 0) || ', rows say ' || coalesce(s.n, 0),
                coalesce(m.member, s.member)::text
         FROM (WITH book AS MATERIALIZED (SELECT convert_from(substring(state FROM 2), 'UTF8')::jsonb AS book FROM log.consumer_position WHERE consumer = 'engage' AND state IS NOT NULL)
               SELECT f.key::uuid AS member, c.key AS category, c.value::bigint AS n
               FROM book k, jsonb_each(k.book -> 'members') f, jsonb_each_text(f.value -> 'categories') c WHERE c.value::bigint <> 0) m
         FULL JOIN (WITH folded AS MATERIALIZED (SELECT shard, (convert_from(substring(state FROM 2), 'UTF8')::jsonb ->> 'seq')::bigint AS seq
                                    FROM log.consumer_position WHERE consumer = 'engage' AND state IS NOT NULL)
               SELECT p.member, p.category, count(*) - count(t.purchase) AS n
               FROM (SELECT b.purchase, b.member, b.shard, b.seq, coalesce(b.merchant_category, c.first, m.category) AS category
                     FROM loyalty.purchase b JOIN loyalty.merchant m USING (merchant)
                     LEFT JOIN (SELECT DISTINCT ON (merchant) merchant, before AS first FROM loyalty.merchant_change
                                WHERE field = 'category' ORDER BY merchant, change) c USING (merchant)) p
               JOIN folded k ON k.shard = p.shard AND p.seq <= k.seq
               LEFT JOIN loyalty.purchase_return t ON t.purchase = p.purchase AND t.seq <= k.seq
               GROUP BY p.member, p.category HAVING count(*) - count(t.purchase) <> 0) s
              ON s.member = m.member AND s.category = m.category"
    ),
    care::ORDERS,
    care::NOT_SHORTENED,
    care::NOBODY,
];
