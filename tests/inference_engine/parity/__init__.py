"""Comparison with reference numbers of the official code, one test per recorded case."""
