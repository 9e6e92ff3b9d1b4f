"""MultiTalk's files without the trained weights: tiny for tests and demonstrations, full-sized for measurements."""
