-- First answers of requests that carried an Idempotency-Key, kept for thirty days. Written only by hunch_http.
CREATE TABLE http.first_answer (
    owner    uuid        NOT NULL,              -- the member who sent it
    key      text        NOT NULL,
    route    text        NOT NULL,
    request  bytea       NOT NULL,              -- SHA-256 of the body: another body under the same key is refused
    status   smallint    NOT NULL,
    body     bytea       NOT NULL,
    made_at  timestamptz NOT NULL,              -- business time
    CONSTRAINT first_answer_once PRIMARY KEY (owner, key)
);
CREATE INDEX first_answer_age ON http.first_answer (made_at);

GRANT SELECT, INSERT, DELETE ON http.first_answer TO hunch_app;
