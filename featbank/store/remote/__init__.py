"""Stores elsewhere, such as in a bucket: heads of shards, rows by ranges, and a cache of both."""
