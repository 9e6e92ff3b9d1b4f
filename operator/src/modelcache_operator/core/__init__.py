"""Pure decisions: from what was observed to the status and the actions. No clock, no network."""
