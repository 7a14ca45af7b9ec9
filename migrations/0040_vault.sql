-- The only home of personal data. Only hunch_vault may enter; no other role may even see that a row is there.

CREATE TABLE vault.person (
    member     uuid        NOT NULL,            -- random token; all that the rest of the programme knows
    full_name  text        NOT NULL,
    email      text        NOT NULL,
    phone      text        NOT NULL,
    birth_date date        NOT NULL,
    entered_at timestamptz NOT NULL,
    CONSTRAINT person_once PRIMARY KEY (member)
);

GRANT SELECT, INSERT, UPDATE ON vault.person TO hunch_vault;
