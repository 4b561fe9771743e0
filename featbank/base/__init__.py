"""Basics that all packages share: manifests, frames, failures, units, components, registries."""
