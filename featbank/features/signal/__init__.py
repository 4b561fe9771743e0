"""Extractors of features that are computed from the signal alone."""
