"""fairseq's km and tsv files: units beside the audio that they were made from, line by line."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, ClassVar

from featbank.export.audio import audio_path
from featbank.export.base import Export, refuse_name
from featbank.export.rows import ExportField
from featbank.export.source import ExportSource, ExportSplit
from featbank.export.tokens import check_tokens, num_tokens, sequence_of
from featbank.export.work import ExportWork


@dataclass(frozen=True, slots=True, kw_only=True)
class FairseqExport(Export):
    """fairseq `<split>.tsv` and `<split>.km`, and `dict.km.txt`, as HuBERT is trained; no codes.

    Labels are called by the field where it is not `units`: `<split>.<name>`. Whole files with one
    channel only, for a tsv says nothing else.
    """

    needs_manifests: ClassVar[bool] = True
    needs_audio_root: ClassVar[bool] = True

    def check(self, source: ExportSource) -> None:
        """Refuse what is no units; see `Export.check`."""
        check_tokens(source, "fairseq", codes=False)
        taken = {"tsv"}
        for field in source.fields:
            num_tokens(field, "fairseq")
            refuse_name(field, _label(field), taken, "fairseq")
            taken.add(_label(field))

    def write(self, source: ExportSource, work: ExportWork) -> None:
        """Write a tsv a split, labels a split and field, and dictionaries; see `Export.write`."""
        for field in source.fields:
            counts = "".join(f"{one} 1\n" for one in range(num_tokens(field, "fairseq")))
            work.make_text(f"dict.{_label(field)}.txt", counts)
        for split in source.splits:
            assert source.audio_root is not None  # of formats that need it
            root = source.audio_root
            work.make(partial(_write_audio, split, root), f"{split.name}.tsv")
            for field in source.fields:
                work.make(partial(_write_units, split, field), f"{split.name}.{_label(field)}")


def _label(field: ExportField) -> str:
    return "km" if field.name == "units" else field.name


def _write_audio(split: ExportSplit, root: Path, file: BinaryIO) -> None:
    file.write(f"{root}\n".encode())
    for row in split.rows():
        path, _ = audio_path(row, "fairseq", root, parts=False)
        file.write(f"{path}\t{row.manifest_row.num_samples}\n".encode())


def _write_units(split: ExportSplit, field: ExportField, file: BinaryIO) -> None:
    for row in split.rows():
        file.write((" ".join(map(str, sequence_of(row, field).tolist())) + "\n").encode())
