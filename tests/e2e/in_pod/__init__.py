"""What runs inside the image of the end-to-end checks; nothing of it is imported by the tests."""
