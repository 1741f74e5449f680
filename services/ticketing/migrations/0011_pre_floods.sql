-- Tickets of one sender in an hour: beyond the desk's limit nobody is told of them. The sender is a hash.
CREATE TABLE ticketing.floods (
    starts  timestamptz NOT NULL,             -- of the hour
    sender  bytea NOT NULL,
    tickets int NOT NULL,
    PRIMARY KEY (starts, sender)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON ticketing.floods TO carteiro_ticketing;
