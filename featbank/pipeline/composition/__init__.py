"""How Hydra composes a configuration, and what is let through: no other room has its objects."""
