-- W3C Trace Context of the event behind the mail, where mails are traced: one that waits for days is still of its trace.
ALTER TABLE mailer.outbound ADD COLUMN traceparent text;
