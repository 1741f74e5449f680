-- W3C Trace Context of the mail behind the event, where mails are traced.
ALTER TABLE ticketing.outbox ADD COLUMN traceparent text;
