-- What names a ticket in our Message-IDs and its events: a hash of its first mail, so that it is the same again after
-- the database went back. Null: made before there were keys.
ALTER TABLE ticketing.tickets ADD COLUMN key text UNIQUE;
