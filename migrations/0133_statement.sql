-- A member's entries are found by walking back from the newest: each names the member's message before it. That takes the
-- place of an index over members, the dearest of what an entry wrote, and one whose pages grew cold as history grew.
ALTER TABLE ledger.entry ADD COLUMN prior_seq bigint;
ALTER TABLE ledger.member_account ADD COLUMN last_seq bigint NOT NULL DEFAULT 0;

UPDATE ledger.entry e SET prior_seq = m.prior_seq
FROM (SELECT shard, seq, lag(seq, 1, 0::bigint) OVER (PARTITION BY shard, member ORDER BY seq) AS prior_seq
      FROM (SELECT DISTINCT shard, member, seq FROM ledger.entry) message) m
WHERE (e.shard, e.seq) = (m.shard, m.seq);
UPDATE ledger.member_account a SET last_seq = e.last_seq
FROM (SELECT member, max(seq) AS last_seq FROM ledger.entry GROUP BY member) e WHERE e.member = a.member;

ALTER TABLE ledger.entry ALTER COLUMN prior_seq SET NOT NULL,
    ADD CONSTRAINT entry_prior_is_before CHECK (prior_seq >= 0 AND prior_seq < seq);
DROP INDEX ledger.entry_of_member;
