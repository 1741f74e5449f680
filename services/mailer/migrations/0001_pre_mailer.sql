-- What the mailer owns: events it has claimed, the outbound queue, which is the send ledger as well, loop counters.
CREATE SCHEMA mailer;
GRANT USAGE ON SCHEMA mailer TO carteiro_mailer, carteiro_ticketing;

-- An event leads to mails once; never purged, like every claim.
CREATE TABLE mailer.inbox (
    event_id   text PRIMARY KEY,  -- ce_id
    claimed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE mailer.offsets (
    topic       text NOT NULL,
    partition   int NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);

-- The id stands inside the signed Message-ID, so it is reserved before a mail is composed.
CREATE SEQUENCE mailer.delivery_ids AS bigint;

CREATE TABLE mailer.outbound (
    id            bigint PRIMARY KEY,
    event_id      text NOT NULL,
    rule          text NOT NULL,                -- auto_response type, or notification event
    recipient     text NOT NULL,
    ticket_id     bigint NOT NULL,
    ticket_number text NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('auto_response', 'notification')),
    template      text NOT NULL,                -- name in the desk, or event and language
    state         text NOT NULL CHECK (state IN
        ('queued', 'sending', 'sent', 'deferred', 'failed', 'unknown', 'suppressed', 'bounced')),
    reason        text NOT NULL DEFAULT '',     -- why nothing is sent
    account       text NOT NULL,                -- outbound account; '' when suppressed
    envelope_from text NOT NULL,                -- '' is the null sender
    message_id    text NOT NULL DEFAULT '',
    raw           bytea,                        -- the mail as it goes out; null when none was composed
    attempts      int NOT NULL DEFAULT 0,       -- grows with each claim, and fences what an older one reports
    due_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    claimed_by    text NOT NULL DEFAULT '',
    claimed_until timestamptz,
    smtp_code     int,
    smtp_class    text NOT NULL DEFAULT '',     -- our word for the outcome, never the server's text
    received_at   timestamptz NOT NULL,         -- of the mail that led here
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    sent_at       timestamptz,
    UNIQUE (event_id, rule, recipient)
-- the bytes move out of the row, so that a change of state does not write them again
) WITH (toast_tuple_target = 256, fillfactor = 80);
ALTER TABLE mailer.outbound ALTER COLUMN raw SET STORAGE EXTERNAL;

CREATE INDEX outbound_due ON mailer.outbound (account, due_at) WHERE state IN ('queued', 'deferred', 'unknown');
CREATE INDEX outbound_claimed ON mailer.outbound (claimed_until) WHERE state = 'sending';
CREATE INDEX outbound_open ON mailer.outbound (created_at)
    WHERE state IN ('queued', 'sending', 'deferred', 'unknown');
CREATE INDEX outbound_ticket ON mailer.outbound (ticket_id);

CREATE TABLE mailer.loop_counters (
    address text NOT NULL,
    day     date NOT NULL,
    count   int NOT NULL,
    PRIMARY KEY (address, day)
);

CREATE VIEW mailer.deliveries_v1 AS
SELECT id AS delivery_id, ticket_id, ticket_number, event_id, kind, rule, template, recipient, state, reason, account,
       message_id, attempts, smtp_code, smtp_class, created_at, due_at, sent_at
FROM mailer.outbound;

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA mailer TO carteiro_mailer;
GRANT USAGE ON SEQUENCE mailer.delivery_ids TO carteiro_mailer;
GRANT SELECT ON mailer.deliveries_v1 TO carteiro_ticketing;
