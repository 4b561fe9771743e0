"""Files of an export that are finished, and what stands of them in its records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from featbank.files.provenance import file_sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedFile:
    """A file that is finished, by its size and its SHA-256 in hexadecimal."""

    num_bytes: int
    sha256: str

    @classmethod
    def at(cls, path: Path) -> Self:
        """Describe a file by its bytes.

        Raises:
            OSError: it cannot be read.
        """
        return cls(num_bytes=path.stat().st_size, sha256=file_sha256(path))

    def is_at(self, path: Path) -> bool:
        """Tell whether a file has these bytes; of another size, none is read.

        Raises:
            OSError: it is there and cannot be read.
        """
        return path.is_file() and path.stat().st_size == self.num_bytes and self.at(path) == self


def to_json(files: Mapping[str, FinishedFile]) -> dict[str, Any]:
    """Return files by their names as JSON values."""
    return {name: [one.num_bytes, one.sha256] for name, one in sorted(files.items())}


def from_json(said: Any) -> dict[str, FinishedFile]:
    """Return the files that `to_json` made JSON values of.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: they are others.
    """
    files = {name: FinishedFile(num_bytes=of, sha256=sha) for name, (of, sha) in said.items()}
    if not all(type(one.num_bytes) is int and type(one.sha256) is str for one in files.values()):
        raise TypeError("sizes and digests of files are of other types")
    return files
