"""Downloading: many files over a few connections, from whatever source gives ranges of bytes."""
