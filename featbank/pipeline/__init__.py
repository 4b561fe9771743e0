"""The pipeline: which code stands behind each stage, and what may be chosen."""
