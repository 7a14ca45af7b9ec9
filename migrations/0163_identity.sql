-- Whether somebody who joins is known already: an exclusion follows the person, not the account. Keyed digests of what
-- was entered, brought into one form; the key lies with the programme's other secrets and never in the database.
-- No foreign key: the digests of somebody who is forgotten may have to stay, so that an exclusion does.
CREATE TABLE vault.identity (
    member         uuid  NOT NULL,
    key_id         bytea NOT NULL,              -- which key made these digests; rows of another key are made anew at the start
    name           bytea NOT NULL,
    birth_date     bytea NOT NULL,
    name_and_birth bytea NOT NULL,
    email          bytea,                       -- null: none was entered
    phone          bytea,
    CONSTRAINT identity_once PRIMARY KEY (member),
    CONSTRAINT identity_digests CHECK (length(key_id) = 8 AND length(name) = 32 AND length(birth_date) = 32
        AND length(name_and_birth) = 32 AND length(email) = 32 AND length(phone) = 32)
);
CREATE INDEX identity_by_key ON vault.identity (key_id);
CREATE INDEX identity_by_name_and_birth ON vault.identity (name_and_birth);
CREATE INDEX identity_by_email ON vault.identity (email) WHERE email IS NOT NULL;
CREATE INDEX identity_by_phone ON vault.identity (phone) WHERE phone IS NOT NULL;
GRANT SELECT, INSERT, UPDATE ON vault.identity TO hunch_vault;

-- Somebody who joined and may be a member already. Until a person has decided, the account earns and does not stake;
-- the same person's second account never stakes. Holds tokens and which kinds of facts agree, never the facts.
CREATE TABLE safeguards.likeness (
    member     uuid        NOT NULL,            -- who joined
    known      uuid[]      NOT NULL,            -- members it may be
    agreeing   text[]      NOT NULL,            -- kinds of facts that agree with any of them: name, birth_date, email, phone
    found_at   timestamptz NOT NULL,            -- business time
    decision   text,                            -- same or other; null: nobody has decided
    decided_by text,                            -- the operator's name
    decided_at timestamptz,                     -- business time
    CONSTRAINT likeness_once PRIMARY KEY (member),
    CONSTRAINT likeness_known CHECK (cardinality(known) > 0 AND cardinality(agreeing) > 0),
    CONSTRAINT likeness_decision CHECK (decision IN ('same', 'other')),
    CONSTRAINT likeness_decided CHECK ((decision IS NULL) = (decided_by IS NULL) AND (decision IS NULL) = (decided_at IS NULL))
);
CREATE INDEX likeness_open ON safeguards.likeness (found_at, member) WHERE decision IS NULL;
GRANT SELECT, INSERT ON safeguards.likeness TO hunch_app;
GRANT UPDATE (decision, decided_by, decided_at) ON safeguards.likeness TO hunch_app;
