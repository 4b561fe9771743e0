"""Projects of people: what is laid down by `featbank init`, and kept up with a new version."""
