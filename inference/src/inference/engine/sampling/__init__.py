"""From noise to latents: schedule, guidance, caching, and the loop over steps."""
