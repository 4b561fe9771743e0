"""Comparison of two versions of stores: which rows, values and origins are others."""
