-- How often a connection was lost over a mail: no attempt, but the mail comes alone.
ALTER TABLE fetcher.failed ADD COLUMN suspected int NOT NULL DEFAULT 0;

-- Copied to the folder of `move_to` and not yet removed: '' no, 'proven' the server named it, 'unproven' it did not.
ALTER TABLE fetcher.confirmed ADD COLUMN copied text NOT NULL DEFAULT '';
