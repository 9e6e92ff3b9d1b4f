"""Development tools: the local hub, and ways to run the real commands against it."""
