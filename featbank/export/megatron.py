r"""Megatron's .bin and .idx files, as the readers of its indexed datasets map them.

The .bin holds the tokens of all sequences. The .idx holds, little-endian, the nine bytes
`MMIDIDX\0\0`, a version of eight bytes, one byte for the dtype, the numbers of sequences and of
document bounds of eight bytes each; then for each sequence its length (int32) and its first byte
in the .bin (int64), and the bounds of documents as numbers of sequences (int64), 0 first.
"""

from __future__ import annotations

import json
import struct
from array import array
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

import numpy as np

from featbank.export.base import Export
from featbank.export.source import ExportSource
from featbank.export.streams import FlatStream, check_stream
from featbank.export.tokens import num_tokens
from featbank.export.work import ExportWork

_MAGIC, _VERSION = b"MMIDIDX\x00\x00", 1
_DTYPE_CODES = {"uint16": 8, "int32": 4}
_UINT16_BELOW = 65500
"""Of this size on, Megatron takes a vocabulary to be stored as int32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MegatronExport(Export):
    """Megatron `<split>_<name>_document.bin` and `.idx`, a document with its end an utterance.

    The end is the number behind the last token: K, or Q x K of codes, which are laid out frame by
    frame, code c of codebook q as q K + c. `meta.json` states it, and the size of the vocabulary.

    Args:
        deduplicate: leave out repeats of units.
    """

    deduplicate: bool = False

    def check(self, source: ExportSource) -> None:
        """Refuse what is not tokens of one store; see `Export.check`."""
        check_stream(source, "Megatron")

    def write(self, source: ExportSource, work: ExportWork) -> None:
        """Write the two files of each split; see `Export.write`."""
        [field] = source.fields
        end = num_tokens(field, "Megatron")
        dtype = np.dtype("<u2" if end + 1 < _UINT16_BELOW else "<i4")
        for split in source.splits:
            stream = FlatStream(
                split=split, field=field, end=end, dtype=dtype, deduplicated=self.deduplicate
            )
            prefix = f"{split.name}_{field.name}_document"
            work.make(partial(_write_indexed, stream), f"{prefix}.bin", f"{prefix}.idx")
        meta = {"vocab_size": end + 1, "end": end, "dtype": dtype.name}
        work.make_text("meta.json", json.dumps(meta, indent=2) + "\n")


def _write_indexed(stream: FlatStream, file: BinaryIO, index: BinaryIO) -> None:
    counted = array("i")
    for sequence in stream.sequences():
        file.write(sequence.tobytes())
        counted.append(len(sequence))
    lengths = np.array(counted, "<i4")
    ends = np.cumsum(lengths, dtype=np.int64) * stream.dtype.itemsize
    starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    documents = np.arange(len(lengths) + 1, dtype="<i8")
    index.write(_MAGIC)
    index.write(struct.pack("<QB", _VERSION, _DTYPE_CODES[stream.dtype.name]))
    index.write(struct.pack("<QQ", len(lengths), len(documents)))
    for numbers in (lengths, starts.astype("<i8"), documents):
        index.write(numbers.tobytes())
