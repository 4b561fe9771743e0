"""Token text as ESPnet reads it: `id u1 u2 ...`, a line an utterance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from featbank.export.base import Export
from featbank.export.rows import ExportField
from featbank.export.source import ExportSource, ExportSplit
from featbank.export.tokens import check_tokens, plain_key, sequence_of
from featbank.export.work import ExportWork


@dataclass(frozen=True, slots=True, kw_only=True)
class EspnetExport(Export):
    """ESPnet token text, `<split>/<name>` of lines `id u1 u2 ...`; codes frame by frame.

    Code c of codebook q is written as q K + c.

    Args:
        deduplicate: leave out repeats of units.
    """

    deduplicate: bool = False

    def check(self, source: ExportSource) -> None:
        """Refuse what is no tokens; see `Export.check`."""
        check_tokens(source, "ESPnet")

    def write(self, source: ExportSource, work: ExportWork) -> None:
        """Write a file a split and field; see `Export.write`."""
        for split in source.splits:
            for field in source.fields:
                work.make(partial(self._write, split, field), f"{split.name}/{field.name}")

    def _write(self, split: ExportSplit, field: ExportField, file: BinaryIO) -> None:
        for row in split.rows():
            tokens = sequence_of(row, field, deduplicated=self.deduplicate).tolist()
            line = " ".join([plain_key(row.id, "ESPnet"), *map(str, tokens)])
            file.write(f"{line}\n".encode())
