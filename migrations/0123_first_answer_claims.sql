-- A key belongs to the first request that carried it, from before its work begins: the row is there first, its answer
-- comes when the work is done.
ALTER TABLE http.first_answer ALTER COLUMN status DROP NOT NULL, ALTER COLUMN body DROP NOT NULL;
ALTER TABLE http.first_answer ADD CONSTRAINT first_answer_whole CHECK ((status IS NULL) = (body IS NULL));
GRANT UPDATE (status, body) ON http.first_answer TO hunch_app;
