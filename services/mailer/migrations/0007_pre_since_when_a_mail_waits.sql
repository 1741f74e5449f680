-- no-transaction
-- What the alert and the status ask: one that its recipient's server postponed waits since it was due again.
CREATE INDEX CONCURRENTLY IF NOT EXISTS outbound_waits_since ON mailer.outbound ((CASE WHEN state = 'queued' OR deferred_since IS NULL THEN created_at ELSE due_at END))
    WHERE state IN ('queued', 'sending', 'deferred', 'unknown');
