"""Offline speech features and discrete tokens, computed once and traceable to what made them."""

__version__ = "0.2.0"

PROGRAM = "featbank"
"""What is typed for the command line, in messages, too."""
