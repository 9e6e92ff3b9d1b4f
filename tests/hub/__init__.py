"""The local hub, checked: its API, its faults, and the real client against it."""
