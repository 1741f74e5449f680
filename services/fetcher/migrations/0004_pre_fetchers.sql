-- Who fetches just now, so that the accounts can be shared out. `accounts`: a hash of those it wants, as only fetchers
-- with the same desk can share one list.
CREATE TABLE fetcher.fetchers (
    holder     text PRIMARY KEY,
    accounts   text NOT NULL,
    expires_at timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON fetcher.fetchers TO carteiro_fetcher;
