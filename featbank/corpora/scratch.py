"""Temporary folder of one run for sorting on disk, made when it is needed."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Self


class Scratch:
    """Paths for temporary files of one run, in a hidden folder.

    Args:
        parent: of that folder. What killed runs of this machine left there is removed.
    """

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._ours = f".scratch-{socket.gethostname()}-"
        self._folder: Path | None = None

    def __enter__(self) -> Self:
        """Clear what others left."""
        if self._parent.is_dir():
            for left in self._parent.glob(f"{self._ours}*"):
                if not _is_alive(left.name.removeprefix(self._ours).partition("-")[0]):
                    shutil.rmtree(left, ignore_errors=True)
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the folder."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def place(self, name: str) -> Path:
        """Return where a file of a name may be written."""
        if self._folder is None:
            self._parent.mkdir(parents=True, exist_ok=True)
            prefix = f"{self._ours}{os.getpid()}-"
            self._folder = Path(tempfile.mkdtemp(prefix=prefix, dir=self._parent))
        return self._folder / name


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except OSError:
        pass  # somebody else's
    return True
