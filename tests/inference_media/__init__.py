"""Files in and out, without a network."""
