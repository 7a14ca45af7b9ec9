-- What is swept by its age is found by it.

CREATE INDEX member_code_age ON loyalty.member_code (expires_at);
GRANT DELETE ON loyalty.refused_code TO hunch_app;
