"""Tokens of stores as what language models read: windows, and sequences of text and speech."""
