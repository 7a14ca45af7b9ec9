-- A member's name, e-mail address and phone number can be changed. What was there before is kept in the vault, with who
-- changed it and when, because an exclusion follows the person under the old data and under the new.

CREATE TABLE vault.former_person (
    change      bigint GENERATED ALWAYS AS IDENTITY,
    member      uuid        NOT NULL,
    full_name   text        NOT NULL,           -- what was entered until then
    email       text        NOT NULL,
    phone       text        NOT NULL,
    replaced_by text        NOT NULL,           -- the operator's name
    replaced_at timestamptz NOT NULL,           -- business time
    CONSTRAINT former_person_once PRIMARY KEY (change)
);
CREATE INDEX former_person_of ON vault.former_person (member, change);
GRANT SELECT, INSERT ON vault.former_person TO hunch_vault;

-- Version 0 has the digests of what is entered now, any other one those of the former entry with that number.
ALTER TABLE vault.identity ADD COLUMN version bigint NOT NULL DEFAULT 0;
ALTER TABLE vault.identity DROP CONSTRAINT identity_once;
ALTER TABLE vault.identity ADD CONSTRAINT identity_once PRIMARY KEY (member, version);

-- What a person decided about two accounts stands also when one of them becomes like a third one: the account is looked at
-- again, and the decision of before is kept here.
CREATE TABLE safeguards.former_likeness (
    likeness   bigint GENERATED ALWAYS AS IDENTITY,
    member     uuid        NOT NULL,
    known      uuid[]      NOT NULL,
    agreeing   text[]      NOT NULL,
    found_at   timestamptz NOT NULL,            -- business time
    decision   text        NOT NULL,
    decided_by text        NOT NULL,            -- the operator's name
    decided_at timestamptz NOT NULL,            -- business time
    CONSTRAINT former_likeness_once PRIMARY KEY (likeness),
    CONSTRAINT former_likeness_decision CHECK (decision = 'other')
);
GRANT SELECT, INSERT ON safeguards.former_likeness TO hunch_app;
GRANT UPDATE (known, agreeing, found_at) ON safeguards.likeness TO hunch_app;
