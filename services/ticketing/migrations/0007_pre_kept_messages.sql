-- A reply that names a mail which is still to come again finds its ticket; empty: that mail has no Message-ID.
ALTER TABLE ticketing.kept ADD COLUMN message_id_hash bytea NOT NULL DEFAULT '';
CREATE INDEX kept_by_message ON ticketing.kept (message_id_hash);
