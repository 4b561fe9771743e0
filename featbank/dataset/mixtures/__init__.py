"""Mixtures: several datasets sampled together, by weights or by a temperature."""
