"""Paths of files on other machines: URLs that are joined and taken apart as paths are."""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path, PurePosixPath

from featbank.errors import ConfigError

SCHEMES = {
    "s3": ("s3fs", "s3"),
    "gs": ("gcsfs", "gs"),
    "ssh": ("sshfs", "ssh"),
    "http": ("aiohttp", "http"),
    "https": ("aiohttp", "http"),
}
"""Schemes of URLs -> the package that speaks each, and the extra of featbank that installs it."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


class RemotePath(PurePosixPath):
    """A path on another machine: `s3://bucket/corpus`.

    It is joined, and gives its name, suffix and parent, as any pure path; its text is the URL.

    >>> root = RemotePath("s3://bucket/corpus")
    >>> str(root / "a/x.flac"), (root / "a/x.flac").relative_to(root).as_posix()
    ('s3://bucket/corpus/a/x.flac', 'a/x.flac')
    """

    __slots__ = ()

    def __str__(self) -> str:
        """Return the URL."""
        text = super().__str__()
        scheme, slash, rest = text.partition(":/")
        return f"{scheme}://{rest}" if slash and scheme in SCHEMES else text

    @property
    def scheme(self) -> str:
        """How it is reached: `s3`."""
        return self.parts[0].rstrip(":/")

    @property
    def is_http(self) -> bool:
        """Whether a web server has it, which need not list folders."""
        return self.scheme in ("http", "https")


AnyPath = Path | RemotePath
"""A path on this machine or another one."""


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path is a URL; a path of this machine never is, for `//` is `/` in one.

    >>> is_remote("s3://bucket/x"), is_remote("a/x.flac"), is_remote(RemotePath("ssh://host/x"))
    (True, False, True)
    """
    if isinstance(path, Path):
        return False
    return "://" in (text := os.fspath(path)) and _URL.match(text) is not None


def any_path(path: str | os.PathLike[str]) -> AnyPath:
    """Return the path that a text means: a `RemotePath` of a URL, or else a `Path`.

    >>> any_path("s3://bucket/x"), any_path("corpora/demo")
    (RemotePath('s3://bucket/x'), PosixPath('corpora/demo'))

    Raises:
        ConfigError: a URL of a kind that is not read.
    """
    if not is_remote(path):
        return Path(path)
    found = _URL.match(text := os.fspath(path))
    assert found
    if found[1] not in SCHEMES:
        raise ConfigError(
            f"place {text}", expected=f"a path, or a URL of {', '.join(SCHEMES)}", got=found[1]
        )
    if not text[found.end() :].strip("/"):
        raise ConfigError(f"place {text}", expected="a bucket or host behind ://", got="nothing")
    return RemotePath(text)


def check_reachable(path: RemotePath) -> None:
    """Refuse a URL for which a package is missing.

    Raises:
        ConfigError: with how to install it.
    """
    package, extra = SCHEMES[path.scheme]
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise ConfigError.of_absent(f"reading {path}", package, extra, error) from error
