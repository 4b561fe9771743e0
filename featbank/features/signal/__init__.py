"""Features computed from the signal alone."""
