"""Tokenizers: from features to discrete units."""
