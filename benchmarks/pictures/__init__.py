"""The pictures of the README, drawn from what they show: `python -m benchmarks.pictures`."""
