"""The engine: shards planned from manifests, computed by workers, taken over where they exist."""
