"""File systems without `flock`, for this process and for those that it starts."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

_SHIM = """
#include <errno.h>
#include <stdlib.h>
int flock(int descriptor, int operation) { errno = atoi(getenv("FLOCK_ERRNO")); return -1; }
"""


@pytest.fixture(scope="session")
def _shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(_SHIM)
    command = [compiler, "-shared", "-fPIC", "-o", folder / "shim.so", folder / "shim.c"]
    subprocess.run(command, check=True)
    return folder / "shim.so"


@pytest.fixture
def children_without_flock(_shim: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that are started from now on get ENOSYS, or the number in FLOCK_ERRNO."""
    monkeypatch.setenv("LD_PRELOAD", str(_shim))
    monkeypatch.setenv("FLOCK_ERRNO", str(errno.ENOSYS))


@pytest.fixture
def without_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is on a disk without it."""

    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
