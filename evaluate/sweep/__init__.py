"""Sweeps: a YAML grid of settings becomes trained and evaluated cells, tables and plots."""
