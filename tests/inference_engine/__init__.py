"""Tests of the MultiTalk engine; `parity` compares it with the official code."""
