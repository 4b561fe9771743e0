"""Audio put into other files by tests, and what is read of these."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from featbank.audio.tars import tar_members
from featbank.base.places import Place


def write_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def places_in(tar: Path, root: Path) -> dict[str, str]:
    """Return the `audio` of each member of a tar, by its name."""
    return {
        one.name: str(
            Place(
                container=str(tar.relative_to(root)), member=one.name,
                start=one.start, num_bytes=one.num_bytes,
            )
        )
        for one in tar_members(tar)
    }  # fmt: skip


def bytes_read() -> int:
    """Return the bytes that this process has read so far, whether from the disk or its cache."""
    with open("/proc/self/io") as file:
        return int(file.readline().split()[1])
