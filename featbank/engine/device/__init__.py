"""The pipeline of a worker with a device: decode, copy, compute, reduce, copy back, write."""
