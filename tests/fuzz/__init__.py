"""Tests that throw arbitrary input at the parsers."""
