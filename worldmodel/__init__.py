"""A learned driving simulator. See the README for a map of the house; calls point downward only."""

__version__ = "0.1.0"
