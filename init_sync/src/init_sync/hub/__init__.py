"""What comes from a hub: listings through huggingface_hub, bytes by ranges."""
