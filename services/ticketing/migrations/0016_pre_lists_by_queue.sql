-- Lists are merged of the newest of each queue and state; this index misled the planner of rare ones.
DROP INDEX ticketing.tickets_by_time;
