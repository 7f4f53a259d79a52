"""Decisions. Pure: time and chance are arguments; no I/O, no clocks, no logging (``tests/test_floors.py`` holds it)."""
