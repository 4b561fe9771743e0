"""Tars as webdataset reads them: the files of an utterance share a key."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

import numpy as np

from featbank.errors import ConfigError
from featbank.export.base import ShardedExport, described
from featbank.export.rows import ExportRow
from featbank.export.source import ExportPiece, ExportSource
from featbank.export.work import ExportWork


@dataclass(frozen=True, slots=True, kw_only=True)
class WebdatasetExport(ShardedExport):
    """WebDataset tars `<split>-000000.tar` with `<id>.<name>.npy` and `<id>.json` an utterance.

    Values are as a read gives them, codes (Q, T) too. The JSON has the id, split and frames, and of
    manifests text, speaker, language, duration, and license and consent where any row says one. A
    dot in the last part of an id, where keys end, is written %2E, and % as %25.

    Args:
        shard_mb: of values in a tar, at most.
    """

    def check(self, source: ExportSource) -> None:
        """Refuse names that a tar's files would share; see `Export.check`."""
        names = [field.name.lower() for field in source.fields]  # webdataset reads them so
        if len(set(names)) < len(names):
            raise ConfigError(
                "export to webdataset",
                expected="names that differ in more than the case of letters",
                got=", ".join(field.name for field in source.fields),
                hint="give one another: NAME=FOLDER",
            )

    def write(self, source: ExportSource, work: ExportWork) -> None:
        """Write a tar a piece; see `Export.write`."""
        for split in source.splits:
            for piece in split.pieces(self.max_bytes):
                work.make(
                    partial(_write_tar, piece, source), f"{split.name}-{piece.number:06d}.tar"
                )


def _write_tar(piece: ExportPiece, source: ExportSource, file: BinaryIO) -> None:
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for row in piece.rows:
            key = _key(row.id)
            _add(tar, f"{key}.json", json.dumps(_described(row, source)).encode())
            for field in source.fields:
                values = io.BytesIO()
                np.save(values, row.read(field.name), allow_pickle=False)
                _add(tar, f"{key}.{field.name.lower()}.npy", values.getvalue())


def _key(utterance_id: str) -> str:
    """Return an id as a key, which ends at the first dot behind the last slash.

    >>> _key("a.b/c.50%"), _key("a/b")
    ('a.b/c%2E50%25', 'a/b')
    """
    folder, slash, name = utterance_id.rpartition("/")
    return folder + slash + name.replace("%", "%25").replace(".", "%2E")


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # no time, no owner: bytes follow from the values
    member.size = len(data)
    member.mode = 0o644
    tar.addfile(member, io.BytesIO(data))


def _described(row: ExportRow, source: ExportSource) -> dict[str, Any]:
    said: dict[str, Any] = {"id": row.id, "split": row.split}
    frames = {
        field.name: row.num_frames(field.name)
        for field in source.fields
        if field.header.time_axis is not None
    }
    if frames:
        said["num_frames"] = frames
    return said | {name: getattr(row.manifest_row, name) for name in described(source)}
