-- What agents do to tickets, and who they are that do it.
ALTER TABLE ticketing.tickets
    ADD COLUMN merged_into bigint REFERENCES ticketing.tickets,   -- it has this ticket's articles
    ADD COLUMN watchers    jsonb NOT NULL DEFAULT '[]',           -- agents' names in the desk
    ADD COLUMN tags        jsonb NOT NULL DEFAULT '[]';
CREATE INDEX tickets_by_tag ON ticketing.tickets USING gin (tags) WHERE tags <> '[]';

ALTER TABLE ticketing.history
    ADD COLUMN agent text NOT NULL DEFAULT '',                    -- his name in the desk; empty: a mail did it
    ADD COLUMN why   text NOT NULL DEFAULT '';                    -- in his words

-- Commands that were carried out: one that comes again under the same id is done already.
CREATE TABLE ticketing.commands (
    id         text PRIMARY KEY,
    ticket_id  bigint NOT NULL REFERENCES ticketing.tickets,
    command    text NOT NULL,
    agent      text NOT NULL,
    version    bigint NOT NULL,               -- of the ticket afterwards: tickets.event_sequence
    article_id bigint,
    created_id bigint,                        -- the ticket that it made
    done_at    timestamptz NOT NULL
);

-- Agents who are out of office: tickets of theirs are freed, and others are told.
CREATE TABLE ticketing.absences (
    agent text PRIMARY KEY,
    since timestamptz NOT NULL,
    until timestamptz NOT NULL CHECK (until > since)
);
CREATE VIEW ticketing.absences_v1 AS SELECT agent, since, until FROM ticketing.absences;

GRANT SELECT, INSERT, UPDATE, DELETE ON ticketing.commands, ticketing.absences TO carteiro_ticketing;
GRANT SELECT ON ticketing.absences_v1 TO carteiro_mailer;
