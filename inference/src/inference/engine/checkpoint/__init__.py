"""Reading checkpoints as they lie on the volume: file discovery, headers, streaming into modules, LoRA."""
