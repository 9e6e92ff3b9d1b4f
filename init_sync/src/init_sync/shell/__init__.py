"""What every program of the project needs around its work: settings, logs, numbers as text, retries, listening."""
