"""Locks between processes, on file systems with `flock` and without; `locks` says how."""

from featbank.files.locking.locks import Lock, breaking_locks, lock, lock_path

__all__ = ["Lock", "breaking_locks", "lock", "lock_path"]
