"""Measurements of MultiTalk on the machine that will serve: `python tools/bench_multitalk.py --help`."""
