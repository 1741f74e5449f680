-- What an agent wrote goes through the same queue. Notes are no mail, so nothing else is of this kind.
ALTER TABLE mailer.outbound
    DROP CONSTRAINT outbound_kind_check,
    ADD CONSTRAINT outbound_kind_check CHECK (kind IN ('auto_response', 'notification', 'reply')) NOT VALID;
ALTER TABLE mailer.outbound VALIDATE CONSTRAINT outbound_kind_check;
