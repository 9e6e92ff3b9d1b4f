"""Geometry and time of the video: sizes, crops, regions, windows, colours."""
