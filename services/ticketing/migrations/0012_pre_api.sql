-- Who may ask the HTTP API, what was asked under an Idempotency-Key, and the words that articles are found by.
CREATE TABLE ticketing.tokens (
    id            bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    secret_sha256 bytea NOT NULL UNIQUE,      -- the token itself is shown once and kept nowhere
    name          text NOT NULL,
    scopes        text[] NOT NULL CHECK (cardinality(scopes) > 0 AND scopes <@ ARRAY['read', 'agent', 'operator']),
    queues        text[],                     -- null: every queue
    agent         text NOT NULL DEFAULT '',   -- an agent's name in the desk: who its changes are made by
    created_by    text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at    timestamptz,
    revoked_at    timestamptz,
    CHECK (queues IS NULL OR NOT 'operator' = ANY (scopes))
);

-- A request that came before: its answer is given again. Kept for a day.
CREATE TABLE ticketing.requests (
    token_id    bigint NOT NULL REFERENCES ticketing.tokens,
    key         text NOT NULL,
    fingerprint bytea NOT NULL,               -- SHA-256 over method, path and body
    status      int,                          -- null: it is being handled
    headers     jsonb NOT NULL DEFAULT '[]',  -- [[name, value], …] of the answer
    body        bytea,
    asked_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (token_id, key)
);
CREATE INDEX requests_by_time ON ticketing.requests (asked_at);

-- Words of subject and text, in the language of the desk and as they are written.
CREATE TABLE ticketing.searchable (
    article_id bigint PRIMARY KEY REFERENCES ticketing.articles ON DELETE CASCADE,
    ticket_id  bigint NOT NULL,
    words      tsvector NOT NULL
);
CREATE INDEX searchable_words ON ticketing.searchable USING gin (words);
CREATE INDEX searchable_of_ticket ON ticketing.searchable (ticket_id);

-- Articles whose words are still to be taken: outside of the batch, which must not wait for it.
CREATE TABLE ticketing.unsearched (
    article_id bigint PRIMARY KEY REFERENCES ticketing.articles ON DELETE CASCADE,
    ticket_id  bigint NOT NULL
);
CREATE FUNCTION ticketing.to_be_searched() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ticketing.unsearched SELECT id, ticket_id FROM fresh;
    RETURN NULL;
END $$;
CREATE TRIGGER articles_to_be_searched AFTER INSERT ON ticketing.articles
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION ticketing.to_be_searched();
INSERT INTO ticketing.unsearched SELECT id, ticket_id FROM ticketing.articles;

GRANT SELECT, INSERT, UPDATE, DELETE ON ticketing.tokens, ticketing.requests, ticketing.searchable,
    ticketing.unsearched TO carteiro_ticketing;
