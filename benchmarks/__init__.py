"""Measure featbank's stores against the floor, and against what others store features in."""
