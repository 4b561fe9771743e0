"""Flat streams of tokens, an end behind each utterance, as language models are trained on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from featbank.errors import ConfigError
from featbank.export.rows import ExportField
from featbank.export.source import ExportSource, ExportSplit
from featbank.export.tokens import check_tokens, num_tokens, sequence_of
from featbank.store.narrowing import narrow_integers


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatStream:
    """The tokens of a split, one utterance after the other.

    Args:
        split: of them.
        field: that holds them; codes are laid out frame by frame, code c of codebook q as q K + c.
        end: stands behind each utterance: the number behind the last token.
        dtype: of the numbers in the file.
        deduplicated: whether repeats of units are left out.
    """

    split: ExportSplit
    field: ExportField
    end: int
    dtype: np.dtype[Any]
    deduplicated: bool

    def sequences(self) -> Iterator[npt.NDArray[Any]]:
        """Give the tokens of each utterance and the end, (N + 1,)."""
        for row in self.split.rows():
            tokens = sequence_of(row, self.field, deduplicated=self.deduplicated)
            where = f"tokens of utterance {row.id!r}"
            yield np.append(narrow_integers(tokens, self.dtype, where), self.dtype.type(self.end))


def check_stream(source: ExportSource, format_name: str) -> ExportField:
    """Return the field of a stream, which is one of tokens.

    Raises:
        ConfigError: there are several, or it holds something else.
    """
    check_tokens(source, format_name)
    if len(source.fields) != 1:
        raise ConfigError(
            f"export to {format_name}",
            expected="one store: a stream is of one kind of tokens",
            got=", ".join(field.name for field in source.fields),
        )
    num_tokens(source.fields[0], format_name)
    return source.fields[0]
