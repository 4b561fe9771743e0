"""Forecast of a run: hours, disk and memory, from the manifests and a timed sample."""
