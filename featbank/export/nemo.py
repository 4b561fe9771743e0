"""NeMo's manifests, JSON lines of audio and text, with the tokens of each utterance beside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from featbank.base.terms import TERMS
from featbank.export.audio import audio_path
from featbank.export.base import Export, refuse_name
from featbank.export.rows import ExportRow
from featbank.export.source import ExportSource, ExportSplit
from featbank.export.tokens import check_tokens
from featbank.export.work import ExportWork

_TAKEN = frozenset(
    ["audio_filepath", "duration", "offset", "text", "speaker", "lang", "id", *TERMS]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NemoExport(Export):
    """NeMo `<split>.json`, JSON lines of audio and text with units, or codes as Q lists.

    Paths of audio are absolute, times in seconds; `offset` stands where an utterance is a part of
    its file.
    """

    version: ClassVar[int] = 2
    needs_manifests: ClassVar[bool] = True
    needs_audio_root: ClassVar[bool] = True

    def check(self, source: ExportSource) -> None:
        """Refuse what is no tokens; see `Export.check`."""
        check_tokens(source, "NeMo")
        for field in source.fields:
            refuse_name(field, field.name, _TAKEN, "NeMo")

    def write(self, source: ExportSource, work: ExportWork) -> None:
        """Write a manifest a split; see `Export.write`."""
        for split in source.splits:
            assert source.audio_root is not None  # of formats that need it
            work.make(partial(_write_lines, split, source.audio_root), f"{split.name}.json")


def _write_lines(split: ExportSplit, root: Path, file: BinaryIO) -> None:
    for row in split.rows():
        tokens = {name: row.read(name).tolist() for name in row.stores}
        line = json.dumps({**_described(row, root), **tokens}, ensure_ascii=False)
        file.write(f"{line}\n".encode())


def _described(row: ExportRow, root: Path) -> Mapping[str, Any]:
    utterance = row.manifest_row
    path, is_part = audio_path(row, "NeMo", root, parts=True)
    fields: dict[str, Any] = {
        "audio_filepath": str(root / path),
        "duration": utterance.duration_s,
        "text": utterance.text,
        "id": utterance.id,
    }
    if is_part:
        fields["offset"] = utterance.start_s
    if utterance.speaker:
        fields["speaker"] = utterance.speaker
    if utterance.language:
        fields["lang"] = utterance.language
    return fields | {term: said for term in TERMS if (said := getattr(utterance, term))}
