"""The four encoders around the transformer: prompt, picture, video latents, voice."""
