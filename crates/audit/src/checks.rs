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

/// All of them, in the order of the plan's list of invariants.
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
        "SELECT a.available + a.held + a.provisional = a.credited - a.consumed - coalesce(v.void, 0)
                AND a.credited = coalesce(c.credited, 0),
                'member ' || a.member || ': has ' || (a.available + a.held + a.provisional) || ', unused lots are ' ||
                (a.credited - a.consumed - coalesce(v.void, 0)), a.member::text
         FROM ledger.member_account a
         LEFT JOIN (SELECT v.member, sum(v.lot_hi - greatest(v.lot_lo, m.consumed)) AS void
                    FROM ledger.lot_void v JOIN ledger.member_account m USING (member)
                    WHERE NOT v.owed AND v.lot_hi > m.consumed GROUP BY v.member) v USING (member)
         LEFT JOIN (SELECT member, sum(amount) AS credited FROM ledger.entry WHERE debit >= 10 AND credit IN (1, 3) GROUP BY member) c USING (member)"
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
        "L6p",
        "every purchase row has its points, and every return its purchase",
        "SELECT c.points = b.points, 'purchase ' || b.purchase || ': row says ' || b.points || ', ledger says ' || coalesce(c.points::text, 'nothing'), b.purchase::text
         FROM loyalty.purchase b LEFT JOIN ledger.command c ON c.key = b.purchase
         UNION ALL
         SELECT b.purchase IS NOT NULL, 'return of unknown purchase ' || r.purchase, r.purchase::text
         FROM loyalty.purchase_return r LEFT JOIN loyalty.purchase b USING (purchase)"
    ),
    check!(
        "S1",
        "no prompt left without a permit of its moment",
        "SELECT a.content <> 'prompt' OR a.standing IS NOT NULL, 'an attempt of notice delivery without standing', 0
         FROM messaging.attempt a"
    ),
    check!(
        "S2",
        "limit usage is what was charged and not restored",
        "SELECT u.points = coalesce(c.points, 0), 'member ' || u.member || ', window ' || u.starts || ': stored ' || u.points || ', charges say ' || coalesce(c.points, 0), u.member::text
         FROM safeguards.usage u
         LEFT JOIN (SELECT member, 1 AS kind, day AS starts, sum(points - restored) AS points FROM safeguards.charge GROUP BY member, day
                    UNION ALL
                    SELECT member, 2, week, sum(points - restored) FROM safeguards.charge GROUP BY member, week) c
              ON c.member = u.member AND c.kind = u.kind AND c.starts = u.starts"
    ),
];
