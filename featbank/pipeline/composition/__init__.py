"""Composition of configurations by Hydra, whose objects no other package sees."""
