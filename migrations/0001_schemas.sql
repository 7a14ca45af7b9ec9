-- Schemas, one per capability, and who may look into them. The four roles are made once per cluster
-- (hunch_db::roles); a migration never makes a role. Tables grant what they must to hunch_app in the
-- migration that creates them, so that the application cannot change what it may only append to.

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO hunch_app, hunch_audit;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO hunch_app, hunch_audit; -- the list of applied migrations

CREATE SCHEMA log;
CREATE SCHEMA ledger;
CREATE SCHEMA treasury;
CREATE SCHEMA people;
CREATE SCHEMA vault;
CREATE SCHEMA safeguards;
CREATE SCHEMA loyalty;
CREATE SCHEMA markets;
CREATE SCHEMA trading;
CREATE SCHEMA engage;
CREATE SCHEMA messaging;
CREATE SCHEMA http;

-- hunch_app works in every schema but the vault; the vault has a role that works nowhere else.
GRANT USAGE ON SCHEMA log, ledger, treasury, people, safeguards, loyalty, markets, trading, engage, messaging, http
    TO hunch_app, hunch_audit;
GRANT USAGE ON SCHEMA vault TO hunch_vault;

-- The auditor reads every table that will ever be made in these schemas, and none of the vault.
ALTER DEFAULT PRIVILEGES IN SCHEMA log, ledger, treasury, people, safeguards, loyalty, markets, trading, engage,
    messaging, http, public GRANT SELECT ON TABLES TO hunch_audit;
ALTER DEFAULT PRIVILEGES IN SCHEMA log, ledger, treasury, people, safeguards, loyalty, markets, trading, engage,
    messaging, http, public GRANT SELECT ON SEQUENCES TO hunch_audit;
