-- Members by token. Nothing here names a person.

CREATE TABLE people.member (
    member     uuid        NOT NULL,            -- random token
    shard      smallint    NOT NULL,
    home_zone  text        NOT NULL,            -- IANA time zone; days and weeks of limits are local to it
    joined_at  timestamptz NOT NULL,            -- business time
    CONSTRAINT member_once PRIMARY KEY (member)
);

-- One-time codes with which a member signs in.
CREATE TABLE people.sign_in_code (
    code_sha256 bytea       NOT NULL,
    member      uuid        NOT NULL REFERENCES people.member,
    reusable    boolean     NOT NULL,           -- sandbox only
    expires_at  timestamptz NOT NULL,           -- wall time
    used_at     timestamptz,
    CONSTRAINT sign_in_code_once PRIMARY KEY (code_sha256)
);

CREATE TABLE people.session (
    token_sha256 bytea       NOT NULL,
    member       uuid        NOT NULL REFERENCES people.member,
    expires_at   timestamptz NOT NULL,          -- wall time
    revoked_at   timestamptz,
    CONSTRAINT session_once PRIMARY KEY (token_sha256)
);

-- What a sponsor calls a member: another token for each sponsor, so that two sponsors cannot join their lists.
CREATE TABLE people.sponsor_token (
    member   uuid NOT NULL REFERENCES people.member,
    merchant uuid NOT NULL,
    token    uuid NOT NULL,                     -- random
    CONSTRAINT sponsor_token_once PRIMARY KEY (member, merchant),
    CONSTRAINT sponsor_token_unique UNIQUE (token)
);

GRANT SELECT, INSERT ON people.sponsor_token TO hunch_app;
GRANT SELECT, INSERT, UPDATE ON people.member, people.sign_in_code, people.session TO hunch_app;
