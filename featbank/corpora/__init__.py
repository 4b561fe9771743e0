"""Corpora: where utterances come from, and the manifests made of them."""
