-- A push subscription belongs to the session in which the phone asked for it, and ends with it: whoever holds the
-- phone after a sign-out must not read the last member's receipts. Null: subscribed before this was kept; it ends with
-- the member's next sign-out, and a page that is opened subscribes anew.
ALTER TABLE messaging.subscription
    ADD COLUMN session_sha256  bytea,           -- digest of the session's token
    ADD COLUMN session_ends_at timestamptz;     -- wall time; nothing is pushed afterwards
CREATE INDEX subscription_of_session ON messaging.subscription (session_sha256);
