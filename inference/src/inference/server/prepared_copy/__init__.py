"""The transformer once more, in the type in which it is used: made by a command of its own, taken by servers."""
