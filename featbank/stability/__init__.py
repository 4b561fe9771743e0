"""Stability of tokens: how many flip when a listener would not hear that the audio changed."""
