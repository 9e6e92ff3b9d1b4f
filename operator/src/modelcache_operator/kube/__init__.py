"""Effects: talking to the Kubernetes API and to the pods."""
