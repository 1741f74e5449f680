-- The envelope is decided when a mail is sent; what failed is found; holds, windows, addresses that bounce.
ALTER TABLE mailer.outbound
    ADD COLUMN sender         text NOT NULL DEFAULT '',  -- address in From; '' in rows of before
    ADD COLUMN deferred_since timestamptz,               -- first try that the mail itself did not pass
    ADD COLUMN failed_at      timestamptz,
    ADD COLUMN told_at        timestamptz,               -- when somebody was told that it failed
    ALTER COLUMN envelope_from SET DEFAULT '';           -- read of rows of before only

-- what failed in the last days, by time
CREATE INDEX outbound_failed ON mailer.outbound (failed_at) WHERE state = 'failed';

-- Which running mailer serves which outbound account: mail of an account that nobody serves leaves by the default.
CREATE TABLE mailer.served (
    account text NOT NULL,
    holder  text NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (account, holder)
);

-- Mails of facts before this moment wait until they are released: a database was restored.
CREATE TABLE mailer.hold (
    one    boolean PRIMARY KEY DEFAULT true CHECK (one),  -- a single row
    before timestamptz NOT NULL
);

-- Mails in a window of time, by what the window is of: `domain example.org`, `all`, `agent ana@example.org`.
CREATE TABLE mailer.windows (
    key    text NOT NULL,
    starts timestamptz NOT NULL,
    count  int NOT NULL,
    PRIMARY KEY (key, starts)
);

-- Addresses that a report about a mail of ours called wrong for good.
CREATE TABLE mailer.bounced_addresses (
    address    text PRIMARY KEY,
    status     text NOT NULL,                -- RFC 3463
    reports    int NOT NULL,
    bounced_at timestamptz NOT NULL
);

CREATE OR REPLACE VIEW mailer.deliveries_v1 AS
SELECT id AS delivery_id, ticket_id, ticket_number, event_id, kind, rule, template, recipient, state, reason, account,
       message_id, attempts, smtp_code, smtp_class, created_at, due_at, sent_at, failed_at
FROM mailer.outbound;

GRANT SELECT, INSERT, UPDATE, DELETE ON mailer.served, mailer.hold, mailer.windows, mailer.bounced_addresses
    TO carteiro_mailer;
