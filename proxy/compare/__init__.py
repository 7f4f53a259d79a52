"""Comparing two answers. Pure: no I/O, no clocks, no chance (``tests/test_floors.py`` holds it)."""
