"""Codes of neural codecs."""
