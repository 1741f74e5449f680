-- Refresh tokens of OAuth2 that the provider has put in the place of those in the secrets; sealed with `oauth_keys`.
CREATE TABLE fetcher.refresh_tokens (
    account     text PRIMARY KEY,
    sealed      bytea,                 -- null: none was rotated yet
    saved_at    timestamptz,
    taken_by    text NOT NULL,         -- whose turn it is to renew: one request at a time
    taken_until timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON fetcher.refresh_tokens TO carteiro_fetcher;
