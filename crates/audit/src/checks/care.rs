//! Care: who staked and who was prompted, held against what the members' standing was, what the rules say, and what was
//! stored of losses, limits and prompts. Versions and snapshots are compared, not times: whoever looked a moment before an
//! exclusion was committed did nothing wrong, and whoever could have seen it did.

use super::Check;

/// What was said besides a receipt.
pub(super) const PROMPTS: Check = check!(
    "S1",
    "no prompt and no offer left without a permit of its moment",
    "SELECT (a.standing IS NOT NULL OR (a.content = 'offer' AND a.claimed IS NULL)) AND (coalesce(a.standing, 1) = 1 OR a.claimed IS NULL OR known.version IS NOT NULL) AND newer.version IS NULL,
            'notice ' || a.notice || ', attempt ' || a.attempt || ': a ' || a.content ||
            CASE WHEN newer.version IS NOT NULL THEN ' by standing ' || a.standing || ' though version ' || newer.version || ' was there to be seen'
                 WHEN a.standing IS NULL THEN ' without a permit' ELSE ' by standing ' || a.standing || ', which never was' END, a.notice::text
     FROM messaging.attempt a
     LEFT JOIN LATERAL (SELECT h.version FROM safeguards.standing_history h WHERE h.member = a.member AND h.version = a.standing LIMIT 1) known ON true
     LEFT JOIN LATERAL (SELECT h.version FROM safeguards.standing_history h
                        WHERE h.member = a.member AND h.version > a.standing AND pg_visible_in_snapshot(h.made_by, a.claimed)
                        ORDER BY h.version LIMIT 1) newer ON true
     WHERE a.content <> 'receipt'
     UNION ALL
     SELECT g.cause IS NOT NULL AND coalesce(g.standing, 1) <= a.standing, 'notice ' || a.notice || ': a prompt was sent that was never given', a.notice::text
     FROM messaging.attempt a
     JOIN messaging.notice n USING (notice)
     LEFT JOIN safeguards.prompt g ON g.member = n.member AND g.cause = n.cause
     WHERE a.content = 'prompt' AND a.claimed IS NOT NULL"
);

/// Stakes and their permits.
pub(super) const ORDERS: Check = check!(
    "S1o",
    "no order without a permit of its moment, charged to the limits in full",
    "SELECT c.order_id IS NOT NULL AND c.member = o.member AND c.version = o.standing_version AND c.points = o.hold_points AND o.permit_until >= o.placed_wall
            AND c.restored = CASE WHEN o.resolved_at IS NULL THEN 0 ELSE o.hold_points * greatest(o.count - least(o.filled, o.count), 0) / o.count END
            AND (c.unproven OR o.standing_version = 1 OR known.version IS NOT NULL) AND newer.version IS NULL
            AND (c.unproven OR (c.jurisdiction = o.jurisdiction AND c.category = o.category AND c.permitted_at <= o.placed_at)),
            'order ' || o.order_id || ': held ' || o.hold_points || ', charged ' || coalesce(c.points, 0) || ', restored ' || coalesce(c.restored, 0) ||
            ', by standing ' || o.standing_version || coalesce(' though version ' || newer.version || ' was there to be seen when it was sent', ''), o.order_id::text
     FROM trading.orders o
     LEFT JOIN safeguards.charge c USING (order_id)
     LEFT JOIN LATERAL (SELECT h.version FROM safeguards.standing_history h WHERE h.member = o.member AND h.version = o.standing_version LIMIT 1) known ON true
     LEFT JOIN LATERAL (SELECT h.version FROM safeguards.standing_history h
                        WHERE o.exchange_order_id IS NOT NULL AND h.member = o.member AND h.version > o.standing_version
                              AND pg_visible_in_snapshot(h.made_by, o.sent_snapshot)
                        ORDER BY h.version LIMIT 1) newer ON true"
);

/// Stored usage against the charges.
pub(super) const USAGE: Check = check!(
    "S2",
    "limit usage is what was charged and not restored, and no stake went beyond the limits of its moment",
    "SELECT u.points = coalesce(c.points, 0), 'member ' || u.member || ', window ' || u.starts || ': stored ' || u.points || ', charges say ' || coalesce(c.points, 0), u.member::text
     FROM safeguards.usage u
     LEFT JOIN (SELECT member, 1 AS kind, day AS starts, sum(points - restored) AS points FROM safeguards.charge GROUP BY member, day
                UNION ALL
                SELECT member, 2, week, sum(points - restored) FROM safeguards.charge GROUP BY member, week) c
          ON c.member = u.member AND c.kind = u.kind AND c.starts = u.starts
     UNION ALL
     SELECT used <= most, 'member ' || member || ': order ' || order_id || ' brought window ' || starts || ' to ' || used || ' points, the limit was ' || most, member::text
     FROM (WITH step AS MATERIALIZED (SELECT source AS order_id, min(seq) FILTER (WHERE reason = 10) AS placed, max(seq) FILTER (WHERE reason IN (11, 12)) AS ended
                                      FROM ledger.entry WHERE reason IN (10, 11, 12) GROUP BY source),
                window_of AS (SELECT c.order_id, c.member, w.kind, w.starts, c.points, c.restored, CASE WHEN c.unproven THEN NULL ELSE least(w.most, w.own) END AS most
                              FROM safeguards.charge c
                              LEFT JOIN LATERAL (SELECT (h.standing ->> 'day_points')::bigint AS day, (h.standing ->> 'week_points')::bigint AS week
                                                 FROM safeguards.standing_history h WHERE h.member = c.member AND h.version = c.version ORDER BY h.id DESC LIMIT 1) h ON true
                              CROSS JOIN LATERAL (VALUES (1, c.day, c.day_limit, h.day), (2, c.week, c.week_limit, h.week)) w(kind, starts, most, own))
           SELECT order_id, member, starts, most, sum(points) OVER (PARTITION BY member, kind, starts ORDER BY seq) AS used
           FROM (SELECT s.order_id, member, kind, starts, most, points, placed AS seq FROM window_of JOIN step s USING (order_id)
                 UNION ALL
                 SELECT s.order_id, member, kind, starts, NULL, -restored, ended FROM window_of JOIN step s USING (order_id) WHERE restored > 0) moves) running
     WHERE most IS NOT NULL"
);

/// Exclusions and breaks are kept, and every change of standing has a version of its own.
pub(super) const NOT_SHORTENED: Check = check!(
    "S3",
    "no exclusion and no break was shortened, and nobody returned who did not ask",
    "SELECT coalesce(CASE p.kind WHEN 'exclusion' THEN s.excluded_until ELSE s.break_until END, '-infinity') >= least(p.ends_at, '9999-01-01T00:00:00Z'),
            'member ' || p.member || ': ' || p.kind || ' until ' || p.ends_at || ' is not in force', p.member::text
     FROM safeguards.protection p LEFT JOIN safeguards.standing s USING (member)
     UNION ALL
     SELECT version > before AND coalesce(excluded >= excluded_before, excluded_before IS NULL) AND coalesce(rests >= rests_before, rests_before IS NULL),
            'member ' || member || ': version ' || version || ' of the standing follows ' || before || ' and protects less', member::text
     FROM (SELECT member, version, (standing ->> 'excluded_until')::timestamptz AS excluded, (standing ->> 'break_until')::timestamptz AS rests,
                  lag(version) OVER w AS before, lag((standing ->> 'excluded_until')::timestamptz) OVER w AS excluded_before,
                  lag((standing ->> 'break_until')::timestamptz) OVER w AS rests_before
           FROM safeguards.standing_history WINDOW w AS (PARTITION BY member ORDER BY id)) step
     WHERE before IS NOT NULL
     UNION ALL
     SELECT EXISTS (SELECT FROM safeguards.return_request r WHERE r.member = s.member AND r.asked_at = s.return_asked_at AND r.term_ended <= r.asked_at),
            'member ' || s.member || ': is said to have asked to return at ' || s.return_asked_at || ', and did not', s.member::text
     FROM safeguards.standing s WHERE s.return_asked_at IS NOT NULL
     UNION ALL
     SELECT to_jsonb(s) @> h.standing, 'member ' || s.member || ': the standing is not what its newest version was', s.member::text
     FROM safeguards.standing s
     LEFT JOIN LATERAL (SELECT standing FROM safeguards.standing_history h WHERE h.member = s.member ORDER BY id DESC LIMIT 1) h ON true"
);

/// What must not happen to anybody.
pub(super) const NOBODY: Check = check!(
    "S4",
    "nobody was prompted while excluded or on a break, and nobody staked then",
    "SELECT CASE a.content WHEN 'offer' THEN coalesce((h.standing ->> 'offers_on')::boolean, true)
                 ELSE coalesce((h.standing ->> 'prompts_on')::boolean, true)
                      AND coalesce((h.standing ->> 'break_until')::timestamptz <= a.at, true)
                      AND coalesce((h.standing ->> 'excluded_until')::timestamptz <= a.at
                                   AND (NOT h.standing ? 'return_asked_at' OR (h.standing ->> 'return_asked_at')::timestamptz + interval '24 hours' <= a.at),
                                   h.standing ->> 'excluded_until' IS NULL) END,
            'member ' || a.member || ' was sent a ' || a.content || ' at ' || a.at || ' against the standing of that moment', a.member::text
     FROM messaging.attempt a
     LEFT JOIN LATERAL (SELECT standing FROM safeguards.standing_history h WHERE h.member = a.member AND h.version = a.standing ORDER BY id DESC LIMIT 1) h ON true
     WHERE a.content <> 'receipt'
     UNION ALL
     SELECT l.position IS NULL, 'member ' || a.member || ' was prompted at ' || a.at || ', within four hours of a loss or a refused stake', a.member::text
     FROM messaging.attempt a
     LEFT JOIN LATERAL (SELECT p.position FROM trading.position p
                        WHERE p.member = a.member AND p.paid_points < p.cost_points AND p.paid_at > a.at - interval '4 hours'
                              AND coalesce(pg_visible_in_snapshot(p.paid_by, a.claimed), p.paid_wall < a.ended_at - interval '1 minute')
                        UNION ALL
                        SELECT o.order_id FROM trading.orders o
                        WHERE o.member = a.member AND o.captured_points = 0 AND o.resolved_at > a.at - interval '4 hours'
                              AND coalesce(pg_visible_in_snapshot(o.resolved_by, a.claimed), o.resolved_wall < a.ended_at - interval '1 minute')
                        LIMIT 1) l ON true
     WHERE a.content = 'prompt' AND a.claimed IS NOT NULL
     UNION ALL
     SELECT day <= 3 AND week <= 12 AND near = 1, 'member ' || member || ' had ' || day || ' prompts in a day, ' || week || ' in a week and ' || near || ' in half an hour by ' || at, member::text
     FROM (SELECT member, at, standing,
                  count(*) OVER (PARTITION BY member ORDER BY at RANGE BETWEEN interval '23:59:59.999999' PRECEDING AND CURRENT ROW) AS day,
                  count(*) OVER (PARTITION BY member ORDER BY at RANGE BETWEEN interval '6 days 23:59:59.999999' PRECEDING AND CURRENT ROW) AS week,
                  count(*) OVER (PARTITION BY member ORDER BY at RANGE BETWEEN interval '29:59.999999' PRECEDING AND CURRENT ROW) AS near
           FROM safeguards.prompt) had
     WHERE standing IS NOT NULL
     UNION ALL
     SELECT p.member IS NULL, 'member ' || o.member || ' staked at ' || o.placed_at || ' while protected', o.member::text
     FROM trading.orders o
     -- An exclusion goes on after its term until 24 hours after the member asked to return.
     LEFT JOIN LATERAL (SELECT e.member FROM safeguards.protection e
                        WHERE e.member = o.member AND o.placed_at > e.started_at
                              AND o.placed_at < CASE e.kind WHEN 'break' THEN e.ends_at
                                  ELSE coalesce((SELECT min(r.asked_at) + interval '24 hours' FROM safeguards.return_request r
                                                 WHERE r.member = e.member AND r.asked_at >= e.ends_at), 'infinity') END
                        LIMIT 1) p ON true
     UNION ALL
     SELECT coalesce((h.standing ->> 'break_until')::timestamptz <= o.placed_at, true)
            AND coalesce((h.standing ->> 'excluded_until')::timestamptz <= o.placed_at
                         AND (NOT h.standing ? 'return_asked_at' OR (h.standing ->> 'return_asked_at')::timestamptz + interval '24 hours' <= o.placed_at),
                         h.standing ->> 'excluded_until' IS NULL),
            'member ' || o.member || ' staked at ' || o.placed_at || ' against the standing of that moment', o.member::text
     FROM trading.orders o
     JOIN LATERAL (SELECT standing FROM safeguards.standing_history h WHERE h.member = o.member AND h.version = o.standing_version ORDER BY id DESC LIMIT 1) h ON true
     UNION ALL
     SELECT r.allowed AND c.age_reached >= r.minimum_age AND c.place_until > c.permitted_at,
            'member ' || c.member || ' staked on ' || c.category || ' in ' || c.jurisdiction || ' at age ' || c.age_reached || ' or more; the rule there asks for ' || coalesce(r.minimum_age::text, 'nothing, for there is none'), c.member::text
     FROM safeguards.charge c
     LEFT JOIN LATERAL (SELECT r.allowed, r.minimum_age FROM safeguards.rule r
                        WHERE r.jurisdiction IN (c.jurisdiction, split_part(c.jurisdiction, '-', 1), '*') AND r.category IN (c.category, '*')
                              AND r.valid_from <= c.permitted_at AND (r.valid_to IS NULL OR c.permitted_at < r.valid_to)
                        ORDER BY r.jurisdiction = c.jurisdiction DESC, r.jurisdiction <> '*' DESC, r.category <> '*' DESC, r.valid_from DESC LIMIT 1) r ON true
     WHERE NOT c.unproven"
);
