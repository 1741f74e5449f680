-- no-transaction
-- Lists of tickets, the newest first: a page reads as many rows as it shows. `created_at` never changes.
CREATE INDEX CONCURRENTLY IF NOT EXISTS tickets_by_time ON ticketing.tickets (created_at, id);
CREATE INDEX CONCURRENTLY IF NOT EXISTS tickets_by_queue ON ticketing.tickets (queue, state, created_at, id);
CREATE INDEX CONCURRENTLY IF NOT EXISTS tickets_by_customer ON ticketing.tickets (customer_user, created_at, id);
CREATE INDEX CONCURRENTLY IF NOT EXISTS tickets_by_owner ON ticketing.tickets (owner, created_at, id) WHERE owner <> '';
