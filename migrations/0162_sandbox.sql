-- Whether this programme was made as a sandbox. It is said once, by the process that makes the database (hunch.sandbox),
-- and no role of the application can change it: sign-in codes that work again and again, clocks that run fast, a place
-- that is given and not found must never be switched on where real people are members.
CREATE TABLE people.programme (
    only_one boolean NOT NULL DEFAULT true,
    sandbox  boolean NOT NULL,
    CONSTRAINT programme_once PRIMARY KEY (only_one),
    CONSTRAINT programme_only_one CHECK (only_one)
);
INSERT INTO people.programme (sandbox)
SELECT coalesce(nullif(current_setting('hunch.sandbox', true), ''), 'off')::boolean
   AND NOT EXISTS (SELECT FROM people.member) AND NOT EXISTS (SELECT FROM log.batch);
GRANT SELECT ON people.programme TO hunch_app;

-- In a sandbox with a place of its own: who signed in with one of its reusable codes is there, unless the phone says
-- otherwise.
CREATE TABLE safeguards.in_town (
    member uuid        NOT NULL,
    since  timestamptz NOT NULL,                -- business time
    CONSTRAINT in_town_once PRIMARY KEY (member)
);
GRANT SELECT, INSERT ON safeguards.in_town TO hunch_app;
