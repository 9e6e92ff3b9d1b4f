"""The diffusion transformer of MultiTalk; parameter names are those of the official checkpoint."""
