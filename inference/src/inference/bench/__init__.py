"""Measuring on the machine that will serve: `python -m inference.bench --help`."""
