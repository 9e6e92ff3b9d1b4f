"""Tests of the MultiTalk engine."""
