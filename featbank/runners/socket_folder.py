"""Find a folder that takes the socket on which the server that forks workers listens."""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
from contextlib import suppress
from functools import cache
from multiprocessing import util

_LIKE = "pymp-12345678/listener-12345678"  # what multiprocessing makes there
_MAX_PATH = 107  # of a socket, on Linux; 103 on macOS, whose TMPDIR is short
_ELSEWHERE = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - multiprocessing makes a folder of 0700


@cache
def choose_socket_folder() -> None:
    """Have multiprocessing put its sockets elsewhere where TMPDIR takes none.

    A job's own TMPDIR may have a path that is too long for a socket, or lie on a network disk that
    has none. What is chosen first holds for the rest of the process, as multiprocessing has it.
    """
    before = tempfile.tempdir
    folders = (tempfile.gettempdir(), *_ELSEWHERE)
    chosen = next((folder for folder in folders if _takes_sockets(folder)), None)
    tempfile.tempdir = chosen or before
    try:
        util.get_temp_dir()
    finally:
        tempfile.tempdir = before


def _takes_sockets(folder: str) -> bool:
    if len(os.fsencode(os.path.join(folder, _LIKE))) > _MAX_PATH:  # noqa: PTH118 - as text
        return False
    path = os.path.join(folder, f".{secrets.token_hex(8)}")  # noqa: PTH118
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(path)
    except OSError:
        return False
    finally:
        with suppress(OSError):
            os.unlink(path)  # noqa: PTH108
    return True
