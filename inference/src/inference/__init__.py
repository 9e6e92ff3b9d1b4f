"""MultiTalk inference: the engine, its media layer and the HTTP server around them."""
