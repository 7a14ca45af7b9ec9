-- A purchase, return, stake or position is one member's, so that one notice of a cause is also one of a member and
-- cause. One index instead of two: a notice is written for every purchase.
ALTER TABLE messaging.notice DROP CONSTRAINT notice_cause_once;
DROP INDEX messaging.notice_of_cause;
ALTER TABLE messaging.notice ADD CONSTRAINT notice_cause_once UNIQUE (cause, cause_kind);
