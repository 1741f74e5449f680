-- 0007 took its place
DROP INDEX mailer.outbound_open;
