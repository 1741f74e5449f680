-- What the fetcher remembers of mailboxes. Every write of folders, confirmed and failed is guarded by the lease.
CREATE SCHEMA fetcher;
GRANT USAGE ON SCHEMA fetcher TO carteiro_fetcher;

CREATE TABLE fetcher.leases (
    account    text PRIMARY KEY,
    holder     text NOT NULL,
    epoch      bigint NOT NULL,       -- grows with each holder: a stale one is known by it
    expires_at timestamptz NOT NULL   -- by the database's clock
);

CREATE TABLE fetcher.folders (
    account       text NOT NULL,
    folder        text NOT NULL,
    uidvalidity   bigint NOT NULL,
    cursor_uid    bigint NOT NULL,    -- every UID at or below has a final outcome
    watched_since timestamptz,        -- null: from the beginning
    resync_below  bigint NOT NULL DEFAULT 0,
    live_since    timestamptz,
    PRIMARY KEY (account, folder)
);

-- UIDs with a final outcome that are above the cursor, or whose mail is not yet tidied up on the server.
CREATE TABLE fetcher.confirmed (
    account     text NOT NULL,
    folder      text NOT NULL,
    uidvalidity bigint NOT NULL,
    uid         bigint NOT NULL,
    cleaned     boolean NOT NULL,
    PRIMARY KEY (account, folder, uidvalidity, uid)
);

CREATE TABLE fetcher.failed (
    account     text NOT NULL,
    folder      text NOT NULL,
    uidvalidity bigint NOT NULL,
    uid         bigint NOT NULL,
    attempts    int NOT NULL,
    retry_at    timestamptz NOT NULL,
    reason      text NOT NULL,
    PRIMARY KEY (account, folder, uidvalidity, uid)
);

CREATE TABLE fetcher.account_status (
    account      text PRIMARY KEY,
    connected    boolean NOT NULL,
    last_attempt timestamptz NOT NULL,
    last_success timestamptz,         -- when the last complete look began
    error        text NOT NULL DEFAULT '',   -- class of the failure, '' when all is well
    error_text   text NOT NULL DEFAULT '',
    error_since  timestamptz
);

CREATE VIEW fetcher.account_status_v1 AS
SELECT account, connected AND coalesce(l.expires_at > clock_timestamp(), false) AS connected,
       CASE WHEN l.expires_at > clock_timestamp() THEN l.holder END AS holder,
       s.last_attempt, s.last_success, coalesce(s.error, '') AS error, coalesce(s.error_text, '') AS error_text,
       s.error_since
FROM fetcher.leases l FULL JOIN fetcher.account_status s USING (account);

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA fetcher TO carteiro_fetcher;
