"""The lock of a writer lives as long as the writer, and no longer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featbank.feature_io import NumpyHdf5Writer
from featbank.store import StoreWriter
from tests.store.trust import kill, start

WRITERS = pytest.mark.parametrize("kind", [StoreWriter, NumpyHdf5Writer])

# Forks a child that outlives it, and is ready to be killed.
FORKS = """
import os, sys
from featbank.feature_io import NumpyHdf5Writer
from featbank.store import StoreWriter

writer = globals()[sys.argv[2]](sys.argv[1], name="x")
if not os.fork():
    print("ready", flush=True)
sys.stdin.read()
"""


@WRITERS
def test_a_writer_that_was_forgotten_does_not_refuse_the_next(
    tmp_path: Path, kind: Callable[..., Any]
) -> None:
    kind(tmp_path / "s", name="x").write("a", np.ones((2, 3)))
    with kind(tmp_path / "s", name="x") as writer:
        writer.write("a", np.ones((2, 3)))


@WRITERS
def test_a_forked_child_does_not_keep_the_lock_of_a_killed_writer(
    tmp_path: Path, kind: type
) -> None:
    process = start(FORKS, tmp_path / "s", kind.__name__)
    process.kill()  # the child lives on, until its input ends
    process.wait()
    with kind(tmp_path / "s", name="x") as writer:
        writer.write("a", np.ones((2, 3)))
    kill(process)
