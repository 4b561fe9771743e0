"""Extractors: from waveforms to named feature arrays."""
