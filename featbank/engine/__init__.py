"""The engine: it plans the shards of a run, has workers compute them, and reuses what exists."""
