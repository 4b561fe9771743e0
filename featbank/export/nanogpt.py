"""nanoGPT's .bin files: one flat stream of tokens a split."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

import numpy as np

from featbank.export.base import Export
from featbank.export.source import ExportSource
from featbank.export.streams import FlatStream, check_stream
from featbank.export.tokens import num_tokens
from featbank.export.work import ExportWork

_VALIDATION = frozenset(["dev", "valid", "validation"])


@dataclass(frozen=True, slots=True, kw_only=True)
class NanogptExport(Export):
    """nanoGPT `train.bin` and `val.bin`, flat uint16 or uint32 with an end behind each utterance.

    The end is the number behind the last token: K, or Q x K of codes, which are laid out frame by
    frame, code c of codebook q as q K + c. A split has a file of its name; the only one called dev,
    valid or validation is `val.bin`, as nanoGPT reads it. `meta.pkl` has `vocab_size`, and
    `meta.json` the same and more. nanoGPT itself reads uint16.

    Args:
        deduplicate: leave out repeats of units.
    """

    deduplicate: bool = False

    def check(self, source: ExportSource) -> None:
        """Refuse what is not tokens of one store; see `Export.check`."""
        check_stream(source, "nanoGPT")

    def write(self, source: ExportSource, work: ExportWork) -> None:
        """Write a stream a split, and how many numbers there are; see `Export.write`."""
        [field] = source.fields
        end = num_tokens(field, "nanoGPT")
        dtype = np.dtype("<u2" if end < 1 << 16 else "<u4")
        names = _file_names([split.name for split in source.splits])
        for split in source.splits:
            stream = FlatStream(
                split=split, field=field, end=end, dtype=dtype, deduplicated=self.deduplicate
            )
            work.make(partial(_write_stream, stream), names[split.name])
        meta = {"vocab_size": end + 1, "end": end, "dtype": dtype.name, "splits": names}
        work.make_text("meta.json", json.dumps(meta, indent=2) + "\n")
        # a pickle, for nanoGPT reads nothing else; it holds a number, and featbank never reads it
        pickled = pickle.dumps({"vocab_size": end + 1}, protocol=4)
        work.make(lambda file: file.write(pickled), "meta.pkl")


def _file_names(splits: list[str]) -> dict[str, str]:
    validation = [split for split in splits if split in _VALIDATION]
    renamed = {validation[0]: "val"} if len(validation) == 1 and "val" not in splits else {}
    return {split: f"{renamed.get(split, split)}.bin" for split in splits}


def _write_stream(stream: FlatStream, file: BinaryIO) -> None:
    for sequence in stream.sequences():
        file.write(sequence.tobytes())
