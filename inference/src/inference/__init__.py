"""MultiTalk inference from a model cache volume."""
