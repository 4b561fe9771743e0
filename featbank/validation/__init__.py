"""Validation: checks of stores against their manifests and their own headers."""
