"""Kaldi's ark and scp files, which kaldiio writes: matrices of features, vectors of units."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, BinaryIO, ClassVar

import numpy as np

from featbank.export.base import ShardedExport, refuse_field
from featbank.export.rows import ExportField, ExportRow
from featbank.export.source import ExportPiece, ExportSource, ExportSplit
from featbank.export.tokens import plain_key
from featbank.export.work import ExportWork
from featbank.store.encoding import Array
from featbank.store.narrowing import narrow_integers


@dataclass(frozen=True, slots=True, kw_only=True)
class KaldiExport(ShardedExport):
    """Kaldi ark and scp, float matrices and vectors, and units as int32; no codes (Q, T).

    A split is a folder with `<name>.scp`, or `feats.scp` where one feature (T, D) is exported, and
    `utt2num_frames`; of manifests, `text`, `utt2spk`, and `utt2license` and `utt2consent` where any
    row says one, too. float16 is widened to float32; values
    (T,) of one a frame become a matrix (T, 1).

    Args:
        shard_mb: of values in an ark file, at most.
        prefix: stands in the scp files before the paths of the ark files; empty for the absolute
            path of the export, so that they are read from anywhere, while it stays there.
    """

    packages: ClassVar[tuple[str, ...]] = ("kaldiio",)
    extra: ClassVar[str] = "kaldi"
    names_its_place: ClassVar[bool] = True

    prefix: str = ""

    def check(self, source: ExportSource) -> None:
        """Refuse what is no matrix or vector; see `Export.check`."""
        for field in source.fields:
            is_matrix = field.dtype.kind == "f" and not field.is_codes and len(field.axes) <= 2
            if not is_matrix and not (field.is_tokens and field.axes == (None,)):
                refuse_field(
                    field,
                    "Kaldi",
                    expected="float values (T, D), (T,) or (D,), or units (T,)",
                    hint="hf, webdataset and nemo hold codes as they are",
                )

    def write(self, source: ExportSource, work: ExportWork) -> None:
        """Write ark files with an scp each, and an scp of all; see `Export.write`."""
        for split in source.splits:
            parts: dict[str, list[str]] = {_name(field, source): [] for field in source.fields}
            for piece in split.pieces(self.max_bytes):
                for field in source.fields:
                    name = _name(field, source)
                    ark = f"{split.name}/data/{name}.{piece.number + 1}.ark"
                    scp = ark.removesuffix("ark") + "scp"
                    said = f"{self.prefix or work.out}/{ark}"
                    work.make(partial(_write_ark, piece, field, said), ark, scp)
                    parts[name].append(scp)
            for name, scps in parts.items():
                work.make(partial(_join, work, scps), f"{split.name}/{name}.scp")
            for name, text in self._texts(source, split).items():
                work.make(partial(_write_texts, split, text), f"{split.name}/{name}")

    def _texts(self, source: ExportSource, split: ExportSplit) -> dict[str, _Text]:
        """Return what the files of one text an utterance say of it, by their names."""
        texts: dict[str, _Text] = {}
        [first, *others] = source.fields
        if not others and first.header.time_axis is not None:
            texts["utt2num_frames"] = lambda row: str(row.num_frames(first.name))
        if split.manifest is not None:
            texts["text"] = lambda row: " ".join(row.manifest_row.text.split())
            texts["utt2spk"] = _speaker
            texts |= {f"utt2{term}": partial(_term, term) for term in source.terms}
        return texts


_Text = Callable[[ExportRow], str]


def _name(field: ExportField, source: ExportSource) -> str:
    """Return what the files of a field are called: features alone as every recipe has them."""
    alone = len(source.fields) == 1 and not field.is_tokens and field.header.time_axis is not None
    return "feats" if alone else field.name


def _write_ark(piece: ExportPiece, field: ExportField, said: str, ark: Any, scp: BinaryIO) -> None:
    save_ark = import_module("kaldiio.matio").save_ark
    for row in piece.rows:
        key = plain_key(row.id, "Kaldi")
        start = ark.tell() + len(key.encode()) + 1
        save_ark(ark, {key: _as_kaldi(row, field)})
        scp.write(f"{key} {said}:{start}\n".encode())


def _as_kaldi(row: ExportRow, field: ExportField) -> Array:
    values = row.read(field.name)
    if field.is_tokens:
        return narrow_integers(values, np.dtype(np.int32), f"utterance {row.id!r} in Kaldi's int32")
    wide = values.astype(np.float64 if field.dtype == np.float64 else np.float32, copy=False)
    return wide[:, None] if field.axes == (None,) else wide


def _join(work: ExportWork, scps: list[str], file: BinaryIO) -> None:
    for scp in scps:
        with work.open(scp) as part:
            shutil.copyfileobj(part, file)


def _write_texts(split: ExportSplit, text: _Text, file: BinaryIO) -> None:
    for row in split.rows():
        file.write(f"{plain_key(row.id, 'Kaldi')} {text(row)}\n".encode())


def _term(term: str, row: ExportRow) -> str:
    return " ".join(getattr(row.manifest_row, term).split())


def _speaker(row: ExportRow) -> str:
    """Return the speaker; without one, an utterance is a speaker of its own, as Kaldi has it."""
    speaker = row.manifest_row.speaker
    return plain_key(speaker, "Kaldi", "speaker") if speaker else plain_key(row.id, "Kaldi")
