-- A new programme gets as many shards as the process that makes its database asks for in hunch.shards; without that, 8.
-- One with members keeps what it has: a member's shard is for ever.
DELETE FROM log.shard_head
WHERE shard >= greatest(1, coalesce(nullif(current_setting('hunch.shards', true), ''), '8')::integer)
  AND NOT EXISTS (SELECT FROM people.member)
  AND NOT EXISTS (SELECT FROM log.batch);
