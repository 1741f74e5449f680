-- Who is told that an answer failed: the ticket's people when it was written.
ALTER TABLE mailer.outbound
    ADD COLUMN queue       text NOT NULL DEFAULT '',
    ADD COLUMN owner       text NOT NULL DEFAULT '',  -- names of agents in the desk
    ADD COLUMN responsible text NOT NULL DEFAULT '';
