"""Tests of pure parts: values in, values out."""
