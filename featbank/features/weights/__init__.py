"""Published weights: their sources, digests and licences."""
