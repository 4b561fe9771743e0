"""Digests, canonical JSON and atomic files: what makes a store traceable and whole."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO

from featbank import __version__
from featbank.files.disk import fsync_file, fsync_folder, naming
from featbank.files.opening import open_regular

_canonical = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode


def canonical_json(value: Any) -> str:
    """Render `value` as the one JSON text that stands for it: sorted keys, no spaces, no NaN.

    >>> canonical_json({"b": 1, "a": [1.5, None]})
    '{"a":[1.5,null],"b":1}'
    """
    return _canonical(value)


def readable_json(value: Any) -> str:
    """Render `value` deterministically for people: sorted keys, two spaces, one final newline."""
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of `value`, in hexadecimal."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def file_sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal, reading it in blocks."""
    with naming(path, "reading"), open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the version of featbank, and the installed one of each distribution in `names`.

    Raises:
        importlib.metadata.PackageNotFoundError: one of them is not installed.
    """
    return {"featbank": __version__, **{name: metadata.version(name) for name in names}}


def write_atomic(path: str | Path, data: str | bytes, *, sync: bool = True) -> None:
    """Write a whole file or none; see `open_atomic`."""
    with open_atomic(path, sync=sync) as file:
        file.write(data.encode() if isinstance(data, str) else data)


def write_atomic_lines(path: str | Path, lines: Iterable[bytes]) -> None:
    """Write a whole file or none, of lines with their ends; see `open_atomic`."""
    with open_atomic(path) as file:
        file.writelines(lines)


@contextmanager
def open_atomic(path: str | Path, *, sync: bool = True) -> Iterator[BinaryIO]:
    """Give a file to write, then put it in its place, whole, or leave nothing of it.

    Temporary file beside it, fsync, rename, fsync of the folder. An existing `path` is replaced,
    never written into: DVC may have hard-linked it to its cache.

    Args:
        path: of the file.
        sync: wait for the disk. Without, a machine that fails may leave a part of it: for what is
            held against a digest when it is read, and made again.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with naming(path, "writing"), open(temporary, "wb") as file:
            yield file
            file.flush()
            if sync:
                fsync_file(file.fileno(), path)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if sync:
        fsync_folder(path.parent)
