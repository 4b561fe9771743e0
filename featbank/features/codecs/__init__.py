"""Extractors of the codes of neural codecs."""
