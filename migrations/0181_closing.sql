-- A till and a merchant can be closed and opened again. A till's signing key is derived from a secret of the server and the
-- session's id, and stands nowhere.

ALTER TABLE loyalty.merchant
    ADD COLUMN closed_at  timestamptz,          -- business time; null while it is open
    ADD COLUMN closed_why text,
    ADD CONSTRAINT merchant_closed CHECK ((closed_at IS NULL) = (closed_why IS NULL));
ALTER TABLE loyalty.terminal
    ADD COLUMN closed_why text;                 -- null while it is active, and for one that was closed before there was a reason
GRANT UPDATE (closed_at, closed_why) ON loyalty.merchant TO hunch_app;

-- Keys of before cannot be derived: those tills open a new session.
DELETE FROM loyalty.terminal_session;
ALTER TABLE loyalty.terminal_session DROP COLUMN hmac_key;
CREATE INDEX terminal_session_of ON loyalty.terminal_session (terminal, expires_at);
CREATE INDEX terminal_session_age ON loyalty.terminal_session (expires_at);

-- The auditor proves the books; what lets somebody in, or reaches a phone, is none of its business.
REVOKE SELECT ON loyalty.terminal, people.sign_in_code, people.session, messaging.subscription FROM hunch_audit;
GRANT SELECT (terminal, merchant, name, active, made_at, watched_since, watched_by, watched_why, closed_why)
    ON loyalty.terminal TO hunch_audit;
GRANT SELECT (member, reusable, expires_at, used_at) ON people.sign_in_code TO hunch_audit;
GRANT SELECT (member, expires_at, revoked_at) ON people.session TO hunch_audit;
GRANT SELECT (subscription, member, device, made_at) ON messaging.subscription TO hunch_audit;
