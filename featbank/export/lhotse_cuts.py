"""lhotse's CutSets over stores: no value is copied, the cuts say where it lies."""

from __future__ import annotations

import gzip
import json
import logging
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from featbank.base.failures import brief
from featbank.errors import ConfigError
from featbank.export.base import Export, refuse_name
from featbank.export.lhotse_manifests import CutField, is_matrix, new_cut
from featbank.export.rows import ExportRow
from featbank.export.source import ExportSource, ExportSplit
from featbank.export.work import ExportWork
from featbank.files.provenance import file_sha256

_log = logging.getLogger(__name__)

_NAMED = 3  # cuts in a warning
# what lhotse raises of a file that is none, or is damaged
_NO_CUTS = (ValueError, TypeError, LookupError, AttributeError, OSError, EOFError, zlib.error)
_START_S = 1e-3  # by which a supervision may begin behind its cut


@dataclass(frozen=True, slots=True, kw_only=True)
class LhotseExport(Export):
    """lhotse `cuts_<split>.jsonl.gz`, whose features and custom fields stay in the stores.

    A program that loads them imports `featbank.export.lhotse` first. Floats (T, D) are the cuts'
    features, if they are the only ones or are named so; all else are custom fields, under the name
    of the field with `_` for what is no letter. Paths of stores and audio are absolute.

    Args:
        features: name of the field that is the cuts' features.
        cuts: a CutSet to add the fields to, in `cuts.jsonl.gz`, in place of new cuts; a cut is
            found by its id, or by that of a supervision that it begins with.
    """

    features: str = ""
    cuts: str = ""
    packages: ClassVar[tuple[str, ...]] = ("lhotse",)
    extra: ClassVar[str] = "lhotse"

    def check(self, source: ExportSource) -> None:
        """Refuse fields that no cut can have; see `Export.check`."""
        from lhotse import MonoCut

        fields = self._fields(source)
        has_features = any(one.is_main for one in fields)
        if self.features and not has_features:
            raise ConfigError(
                "option features of export to lhotse",
                expected="the name of a field of floats (T, D), at a frame rate",
                got=self.features,
            )
        taken = set(dir(MonoCut)) | set(MonoCut.__dataclass_fields__)
        for one in fields:
            if not one.is_main:
                refuse_name(one.field, one.attribute, taken, "lhotse")
            taken.add(one.attribute)
        if self.cuts and not Path(self.cuts).is_file():
            raise ConfigError("option cuts of export to lhotse", expected="a file", got=self.cuts)
        has_audio = source.audio_root is not None and source.has_manifests
        if not (self.cuts or has_audio or has_features):
            raise ConfigError(
                "export to lhotse",
                expected="to know where the audio is, for cuts without features",
                got="nothing about it",
                hint="give --manifests data/manifests/CORPUS and --audio-root FOLDER, "
                "or a CutSet to add to: --set cuts=FILE",
            )

    def depends_on(self, source: ExportSource) -> Mapping[str, Any]:
        """Return where the stores lie, and the digest of the cuts; see `Export.depends_on`."""
        return {
            "stores_at": [
                store.address for split in source.splits for store in split.stores.values()
            ],
            "cuts": file_sha256(Path(self.cuts)) if self.cuts else None,
        }

    def write(self, source: ExportSource, work: ExportWork) -> None:
        """Write a CutSet a split, or the one that was given with its fields."""
        fields = self._fields(source)
        if self.cuts:
            work.make(partial(_write_added, Path(self.cuts), fields, source), "cuts.jsonl.gz")
            return
        for split in source.splits:
            write = partial(_write_split, split, fields, source.audio_root)
            work.make(write, f"cuts_{split.name}.jsonl.gz")

    def _fields(self, source: ExportSource) -> list[CutField]:
        floats = [one.name for one in source.fields if is_matrix(one)]
        main = self.features or (floats[0] if len(floats) == 1 else "")
        return [
            CutField(field=one, is_main=one.name == main and is_matrix(one))
            for one in source.fields
        ]


def _write_split(
    split: ExportSplit, fields: Sequence[CutField], root: Path | None, file: BinaryIO
) -> None:
    _write_lines((new_cut(row, fields, root) for row in split.rows()), file)


def _write_added(
    path: Path, fields: Sequence[CutField], source: ExportSource, file: BinaryIO
) -> None:
    """Write the cuts of a file with their fields; what no store has stays as it is, and is told."""
    lacking: list[str] = []
    num_found = num_lacking = 0

    def added() -> Iterator[Any]:
        nonlocal num_found, num_lacking
        for cut in _read_cuts(path):
            if (row := _find(cut, source)) is not None:
                num_found += 1
                for field in fields:
                    field.put(cut, row)
            else:
                num_lacking += 1
                if len(lacking) < _NAMED:
                    lacking.append(cut.id)
            yield cut

    _write_lines(added(), file)
    if not num_found:
        raise ConfigError(
            f"cuts of {path}",
            expected="ids of utterances in the stores, of cuts or of supervisions at their start",
            got=", ".join(lacking) or "no cut",
        )
    if num_lacking:
        more = ", ..." if num_lacking > _NAMED else ""
        _log.warning(
            "%d cuts of %s are in no store, and stay as they are: %s%s",
            num_lacking, path, ", ".join(lacking), more,
        )  # fmt: skip


def _read_cuts(path: Path) -> Iterator[Any]:
    """Read a CutSet, lazily where it is in JSON lines.

    Raises:
        ConfigError: lhotse cannot read it.
    """
    from lhotse import CutSet

    try:
        yield from CutSet.from_file(path)
    except _NO_CUTS as error:
        raise ConfigError(
            f"cuts of {path}", expected="a CutSet that lhotse reads", got=brief(str(error))
        ) from error


def _find(cut: Any, source: ExportSource) -> ExportRow | None:
    """Return the utterance of a cut; None where no store has it."""
    from lhotse.cut.data import DataCut

    if not isinstance(cut, DataCut):  # padding, or a mix
        return None
    begun = [one.id for one in cut.supervisions if abs(one.start) < _START_S]
    for split in source.splits:
        first = next(iter(split.stores.values()))
        for one in (cut.id, *begun):
            if one in first:
                split.advance(1)
                return ExportRow(id=one, split=split.name, stores=split.stores, utterance=None)
    return None


def _write_lines(cuts: Iterator[Any], file: BinaryIO) -> None:
    # no name and no time, so that the same cuts are the same bytes
    with (
        gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed,
        TextIOWrapper(packed, encoding="utf-8") as text,
    ):
        for cut in cuts:
            text.write(json.dumps(cut.to_dict(), ensure_ascii=False) + "\n")
