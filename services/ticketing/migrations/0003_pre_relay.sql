-- Who publishes the outbox, how far it has published, and what was published of tickets that this database lost.

-- One row: the relay's lead. A lease in the database's time, fenced by its epoch and its own last end.
CREATE TABLE ticketing.relay (
    single  boolean PRIMARY KEY DEFAULT true CHECK (single),
    holder  text NOT NULL,
    epoch   bigint NOT NULL,              -- grows with each take-over
    until   timestamptz NOT NULL,
    lineage text NOT NULL                 -- ticketing.lineage() when the database was compared with the topic
);

-- The offset behind the last event published, in ticket.events.v1: written when the outbox rows are deleted.
CREATE TABLE ticketing.published (
    partition   int PRIMARY KEY,
    next_offset bigint NOT NULL
);

-- Names that were published and whose mail is still to be settled again, because the database went back behind them.
CREATE TABLE ticketing.kept (
    event_id   text PRIMARY KEY,
    created    boolean NOT NULL,          -- the mail became the ticket; else an article of it
    ticket_key text NOT NULL,
    number     text NOT NULL,
    ticket_id  bigint NOT NULL,
    article_id bigint NOT NULL,
    queue      text NOT NULL,
    title      text NOT NULL,
    sender     text NOT NULL,             -- address, lower case
    read_at    timestamptz NOT NULL
);
CREATE INDEX kept_by_ticket ON ticketing.kept (ticket_key);
CREATE INDEX kept_by_number ON ticketing.kept (number);

-- What is another one as soon as this database may be an older one: a server that started anew (a promoted replica, a
-- restored backup), another database, tables made or filled anew. Equal: nothing that was committed is gone.
CREATE FUNCTION ticketing.lineage() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT concat_ws('/', extract(epoch FROM pg_postmaster_start_time()), d.oid, pg_relation_filenode('ticketing.relay'))
    FROM pg_database d WHERE d.datname = current_database()
$$;

GRANT SELECT, INSERT, UPDATE, DELETE ON ticketing.relay, ticketing.published, ticketing.kept TO carteiro_ticketing;
GRANT SELECT, UPDATE ON SEQUENCE ticketing.tickets_id_seq, ticketing.articles_id_seq TO carteiro_ticketing;
