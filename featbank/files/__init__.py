"""Files on disk, opened, read, replaced and locked so that nothing is lost."""
