"""What all rooms speak of: rows, frames, failures, units, and what a configuration may name."""
