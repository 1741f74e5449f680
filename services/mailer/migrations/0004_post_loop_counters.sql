DROP TABLE mailer.loop_counters;
