-- no-transaction
-- What somebody has to work on, for the status: as many as are open, however many there were.
CREATE INDEX CONCURRENTLY IF NOT EXISTS tickets_open ON ticketing.tickets (queue, state)
WHERE state_type NOT IN ('closed', 'merged', 'removed');
