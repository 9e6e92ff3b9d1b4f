"""Kubernetes APIs for tests: an in-memory one, and a real one where its programs are at hand."""
