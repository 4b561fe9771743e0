"""Datasets of tokens for language models: windows, and sequences of text and speech."""
