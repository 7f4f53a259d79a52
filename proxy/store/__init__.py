"""What is kept on disk: the diff log, the event log, counters."""
