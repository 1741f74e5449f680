-- When everything that the ticket held was erased; its row stays, so that its number is given to nobody else.
ALTER TABLE ticketing.tickets ADD COLUMN erased_at timestamptz;
