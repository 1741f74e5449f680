-- Windows count answers of a day by address too: what `loop_counters` did, which 0004 drops.
CREATE INDEX windows_by_time ON mailer.windows (starts);
