"""Supervisor, comparator process, overrides, admin API."""
