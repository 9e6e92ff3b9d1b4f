"""The command: argument parsing, the sync itself, logs, progress, metrics and the report."""
