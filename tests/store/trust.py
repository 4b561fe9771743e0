"""What the tests of trust share: rows to write, and processes that may be killed or hang."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from featbank.store import Store, StoreWriter, open_store
from tests.waiting import HANG_S

Rows = dict[str, np.ndarray]


def make_rows(num_rows: int, dimension: int = 8, seed: int = 0) -> Rows:
    """Return float32 rows of 0 to 19 frames, ids in order."""
    rng = np.random.default_rng(seed)
    return {
        f"u{number:04d}": rng.standard_normal((int(rng.integers(20)), dimension)).astype(np.float32)
        for number in range(num_rows)
    }


def write(path: Path, rows: Mapping[str, Any], **options: Any) -> Store:
    """Write a store of several shards and open it."""
    settings = {"name": "x", "dtype": "float32", "shard_bytes": 3000, **options}
    with StoreWriter(path, **settings) as writer:
        for utterance_id, values in rows.items():
            writer.write(utterance_id, values)
    return open_store(path)


def files(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files of a store."""
    return {entry.name: entry.read_bytes() for entry in folder.iterdir()}


def environment() -> dict[str, str]:
    """Return the variables under which a child finds this project."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a Python program, and wait until it says that it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    """End a process as a lost machine or the kernel's memory killer would."""
    process.kill()
    process.communicate()


def run(program: str, *arguments: object, command: Sequence[str] = ()) -> str:
    """Run a Python program to its end and return what it printed.

    Args:
        program: its text.
        arguments: its `sys.argv[1:]`.
        command: what starts it: `("unshare", "--mount")`.
    """
    done = subprocess.run(
        [*command, sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
