"""Corpus layouts: what each reads of a folder, as rows; and what several of them share."""
