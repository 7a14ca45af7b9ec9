-- Sign-in codes have a keyed digest and one of them is valid for a member; sessions end when they are idle, and are few.

-- Codes of before had 40 bits and no key.
DELETE FROM people.sign_in_code;
ALTER TABLE people.sign_in_code RENAME COLUMN code_sha256 TO code_hmac; -- HMAC-SHA256 by a key that is not in the database
CREATE INDEX sign_in_code_of ON people.sign_in_code (member);
CREATE INDEX sign_in_code_age ON people.sign_in_code (expires_at);
GRANT DELETE ON people.sign_in_code TO hunch_app;
-- Who gave whom a code. The digest is not kept.
CREATE TRIGGER act AFTER INSERT ON people.sign_in_code
    FOR EACH ROW EXECUTE FUNCTION operators.keep_act('sign_in_code', 'member', '', 'code_hmac');

ALTER TABLE people.session ADD COLUMN used_at timestamptz NOT NULL DEFAULT clock_timestamp(); -- wall time, to the hour
CREATE INDEX session_of ON people.session (member, used_at);
CREATE INDEX session_age ON people.session (used_at);
GRANT SELECT (used_at) ON people.session TO hunch_audit;
GRANT DELETE ON people.session TO hunch_app;

-- Null: never. A code for somebody who has joined is part of joining until then, and a recovery afterwards.
ALTER TABLE people.member ADD COLUMN signed_in_at timestamptz; -- wall time of the last sign-in
UPDATE people.member m SET signed_in_at = clock_timestamp() WHERE EXISTS (SELECT 1 FROM people.session s WHERE s.member = m.member);

-- A member is told of being let in again.
ALTER TABLE messaging.notice
    DROP CONSTRAINT notice_cause_kind,
    ADD CONSTRAINT notice_cause_kind
        CHECK (cause_kind IN ('purchase', 'return', 'stake', 'settlement', 'review', 'recovery')) NOT VALID;
ALTER TABLE messaging.notice VALIDATE CONSTRAINT notice_cause_kind;
