"""Tests of the command as its users see it: a process, its output, its exit code."""
