"""Name a store elsewhere: a URL, and the file system of fsspec that reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from featbank.errors import ConfigError, StoreError
from featbank.files.remote.paths import SCHEMES

_URL = re.compile(r"([a-z][a-z0-9+.-]*)://.")
BESIDE = "../"
"""Before the name of a file that lies in the folder of a store's folder."""

_ALIASES = {"s3a": "s3", "gcs": "gs", "sftp": "ssh"}  # that fsspec knows, too
_OTHERS = ("file", "memory", "dvc")
_PARALLEL = 64
_OWN_OPTIONS: dict[str, dict[str, Any]] = {
    "s3": {
        # who asks tries again by itself
        "config_kwargs": {
            "max_pool_connections": _PARALLEL,
            "retries": {"max_attempts": 1, "mode": "standard"},
        },
        # listings are asked for once, and an object may change: nothing of them is kept
        "use_listings_cache": False,
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """Where a store lies, and how it is read. It may cross to another process.

    Args:
        url: of the store, or of the folder that holds several, as errors name it.
        protocol: of the file system, as fsspec names it.
        options: that the file system is made with.
        root: of the store, as a path in the file system; not where `objects` are given.
        objects: by the path of a file in the store, that of what holds its bytes; for a store whose
            files have other names, such as DVC's objects.
    """

    url: str
    protocol: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)  # may hold secrets
    root: str = ""
    objects: Mapping[str, str] | None = None

    def path(self, name: str) -> str | None:
        """Return where a file of the store lies in the file system; None where there is none.

        Args:
            name: of the file, below the store, with slashes; `../` and a name for one beside it.
        """
        if self.objects is not None:
            return self.objects.get(name)
        if not name.startswith(BESIDE):
            return f"{self.root}/{name}"
        parent = self.root.rpartition("/")[0]
        return f"{parent}/{name.removeprefix(BESIDE)}" if parent[-1:] not in ("", "/") else None

    def named(self, name: str) -> str:
        """Return the URL of a file of the store, as errors name it."""
        return f"{self.url}/{name}" if name else self.url

    @property
    def has_listing(self) -> bool:
        """Whether the file system tells what a folder holds: a web server does not."""
        return self.protocol not in ("http", "https")


def is_url(path: str | Path) -> bool:
    """Tell whether this is a URL and no path of this machine.

    >>> is_url("s3://bucket/tokens"), is_url("data/tokens")
    (True, False)
    """
    return isinstance(path, str) and _URL.match(path) is not None


def path_here(path: str | Path) -> Path:
    """Return a path of this machine, for what reads no store elsewhere.

    Raises:
        StoreError: it is a URL.
    """
    if is_url(path) or was_url(Path(path)):
        raise StoreError(
            f"store {path}", expected="one on this disk", got="a URL",
            hint=copy_hint(str(path)),
        )  # fmt: skip
    return Path(path)


def copy_hint(url: str) -> str:
    """Say how a store elsewhere comes to this disk, for what does not read it where it lies.

    >>> copy_hint("s3://bucket/x")
    'fetch it, and give the path of the copy: aws s3 cp --recursive s3://bucket/x COPY'
    """
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    commands = {
        "s3": f"aws s3 cp --recursive s3://{rest} COPY",
        "gs": f"gcloud storage cp --recursive gs://{rest} COPY",
        "ssh": "" if ":" in host else f"scp -r {host}:/{path} COPY",  # a port, or a password
        "dvc": "dvc pull",
    }
    if scheme == "file":
        return f"give its path: {rest}"
    command = commands.get(_ALIASES.get(scheme, scheme))
    return "fetch it, and give the path of the copy" + (f": {command}" if rest and command else "")


def was_url(path: Path) -> bool:
    """Tell whether a path was made of a URL, which loses a slash by that.

    >>> was_url(Path("s3://bucket/tokens")), was_url(Path("data/tokens"))
    (True, False)
    """
    return (
        len(path.parts) > 1
        and path.parts[0].removesuffix(":") in {*SCHEMES, *_ALIASES, *_OTHERS}
        and path.parts[0].endswith(":")
    )


def locate(url: str, options: Mapping[str, Any] | None = None) -> Elsewhere:
    """Return the place of a URL.

    Args:
        url: of a store.
        options: of the file system, beside those of the URL.

    Raises:
        ConfigError: there is no file system for it, or what it needs is not installed.
    """
    match = _URL.match(url)
    assert match is not None
    protocol = match[1]
    if protocol == "dvc":
        raise ConfigError(
            f"store {url}",
            expected="open_dvc_store(path, remote=, rev=) of featbank.pipeline.dvc_store",
            got="open_store",
            hint="only the pipeline speaks with DVC",
        )
    kind = file_system_class(protocol)
    address = url.rstrip("/")
    root = str(kind._strip_protocol(address)).rstrip("/")
    given = {**kind._get_kwargs_from_urls(address), **(options or {})}
    return Elsewhere(url=address, protocol=protocol, options=given, root=root)


def file_system_class(protocol: str) -> Any:
    """Return fsspec's class of file systems of a protocol.

    Raises:
        ConfigError: there is none, or what it needs is not installed.
    """
    try:
        import fsspec

        return fsspec.get_filesystem_class(protocol)
    except ValueError as error:
        raise ConfigError(
            "scheme of a store's URL", expected="s3, gs, ssh, https or file", got=repr(protocol)
        ) from error
    except ImportError as error:
        where = f"stores at {protocol}://"
        if known := SCHEMES.get(_ALIASES.get(protocol, protocol)):
            raise ConfigError.of_absent(where, *known, error) from error
        raise ConfigError(where, expected="what reads them to be installed", got=error) from error


def make_file_system(place: Elsewhere) -> Any:
    """Make the file system of a place anew, for this process alone.

    Raises:
        ConfigError: its options are not those that it takes.
    """
    kind = file_system_class(place.protocol)
    options = {**_OWN_OPTIONS.get(place.protocol, {})}
    for name, value in place.options.items():
        is_added_to = isinstance(options.get(name), dict) and isinstance(value, dict)
        options[name] = {**options[name], **value} if is_added_to else value
    try:
        made = kind(**options, skip_instance_cache=True)
    except TypeError as error:
        raise ConfigError(
            f"storage_options of {place.url}",
            expected=f"what fsspec's {kind.__name__} takes",
            got=error,
        ) from error
    if place.protocol == "s3":
        made.retries = 1
    return made
