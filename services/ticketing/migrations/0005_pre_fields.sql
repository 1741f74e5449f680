-- What control headers and filters say of a ticket, besides queue, state, priority and lock.
ALTER TABLE ticketing.tickets
    ADD COLUMN owner          text NOT NULL DEFAULT '',     -- an agent's name in the desk
    ADD COLUMN responsible    text NOT NULL DEFAULT '',
    ADD COLUMN type           text NOT NULL DEFAULT '',
    ADD COLUMN service        text NOT NULL DEFAULT '',
    ADD COLUMN sla            text NOT NULL DEFAULT '',
    ADD COLUMN customer_no    text NOT NULL DEFAULT '',
    ADD COLUMN pending_until  timestamptz,
    ADD COLUMN dynamic_fields jsonb NOT NULL DEFAULT '{}';  -- {name: text}
-- a mail that carries the number of another system finds its ticket by the field that holds it
CREATE INDEX tickets_by_dynamic_field ON ticketing.tickets USING gin (dynamic_fields jsonb_path_ops)
WHERE dynamic_fields <> '{}';
