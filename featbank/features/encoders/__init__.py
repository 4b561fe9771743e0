"""Extractors of the hidden states of pretrained encoders."""
