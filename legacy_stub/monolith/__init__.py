"""The shop that grew for ten years: one process, one SQLite file, everything in it."""
