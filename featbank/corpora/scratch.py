"""A folder for what one run sorts, gone with the run."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Give an empty folder in `parent`, and remove what killed runs of this machine left there."""
    parent.mkdir(parents=True, exist_ok=True)
    ours = f".scratch-{socket.gethostname()}-"
    for left in parent.glob(f"{ours}*"):
        if not _is_alive(left.name.removeprefix(ours).partition("-")[0]):
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{ours}{os.getpid()}-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            parent.rmdir()  # where nothing is remembered


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except OSError:
        pass  # somebody else's
    return True
