-- Records that had gone from a topic before this service read them: said in the status, never silent.
CREATE TABLE mailer.gaps (
    id           bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    topic        text NOT NULL,
    partition    int NOT NULL,
    first_offset bigint NOT NULL,
    last_offset  bigint NOT NULL,             -- without it
    reason       text NOT NULL CHECK (reason IN ('expired', 'log_went_back')),
    noticed_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX gaps_by_topic ON mailer.gaps (topic, noticed_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON mailer.gaps TO carteiro_mailer;
