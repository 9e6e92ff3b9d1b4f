"""The process: settings, watching, the work queue, health and metrics."""
