"""What a corpus may say of an utterance, as texts by name, and the row that they make."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from featbank.base.failures import brief
from featbank.base.manifest import MIX_CHANNELS
from featbank.base.terms import TERMS
from featbank.corpora.base import CorpusRow, row_of
from featbank.corpora.channels import parse_channel
from featbank.corpora.layouts.times import name_segment, parse_seconds
from featbank.corpora.paths import AudioPaths, stem
from featbank.errors import ConfigError, CorpusError

COLUMNS = (
    "path", "audio", "id", "start", "duration", "end", "channel",
    "speaker", "language", "split", "text", "part", *TERMS,
)  # fmt: skip
"""What a table may say of an utterance; `path` and `audio` are two words for one thing."""

Texts = Sequence[str | None]
"""Texts in the order of `COLUMNS`; None where the corpus says nothing."""


def utterance_row(texts: Texts, where: str, paths: AudioPaths, language: str) -> CorpusRow:
    """Return the row of an utterance.

    Args:
        texts: that say what it is.
        where: they stand, for messages.
        paths: checks that of its audio.
        language: of one that does not say its own.

    Raises:
        CorpusError: they describe no utterance.
    """
    path, audio, one, start, duration, end, number, speaker, spoken, split, text, part, *terms = (
        texts
    )
    audio = paths.relative(path or audio or "", where)
    start_s = _seconds(start, "start", where)
    duration_s = _seconds(duration, "duration", where)
    if end:
        duration_s = _until(_seconds(end, "end", where), start_s, duration_s, where)
    if duration_s == 0:
        raise CorpusError(f"duration in {where}", expected="above 0", got=duration)
    channel = parse_channel(number, f"channel in {where}", CorpusError) if number else None
    if split == "":
        raise CorpusError(f"split in {where}", expected="a name", got="''")
    is_segment = start_s is not None
    return row_of(
        (
            one or _selected(stem(audio), start_s, duration_s, channel),
            audio,
            where,
            start_s or 0.0,
            duration_s if is_segment else None,
            None if is_segment else duration_s,
            channel,
            speaker or "",
            spoken or language,
            text or "",
            part or "",
            split or "",
            1.0,
            *(term or "" for term in terms),
        )
    )


def as_text(value: Any, where: str) -> str:
    """Return a value of JSON, or of a column of Parquet or Arrow, as the text that a cell has.

    Raises:
        CorpusError: it is no text, no number and no date.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | date):
        raise CorpusError(where, expected="text or a number", got=brief(_as_written(value)))
    if isinstance(value, float) and not math.isfinite(value):
        raise CorpusError(
            where, expected="text or a number", got=f"one that is not finite, {value}"
        )
    return str(value)


def _as_written(value: Any) -> str:
    """Return a value as JSON writes it, where JSON has such values."""
    try:
        return json.dumps(value)
    except TypeError:
        return repr(value)


class MappedValues:
    """Other values for those that a corpus gives, by the names of `COLUMNS`.

    Args:
        values: by name, a value -> another.

    Raises:
        ConfigError: no name has such values, or they are no texts.
    """

    def __init__(self, values: Mapping[str, Mapping[Any, Any]]) -> None:
        expected = "other values by name: {split: {validated: train}}"
        self._by_place: list[tuple[int, dict[str, str]]] = []
        for name, others in values.items():
            if name not in COLUMNS:
                names = f"names among {', '.join(COLUMNS)}"
                raise ConfigError("corpus.values", expected=names, got=repr(name))
            if not isinstance(others, Mapping) or not all(
                isinstance(one, str | int | float) for one in others.values()
            ):
                raise ConfigError("corpus.values", expected=expected, got=f"{name}: {others!r}")
            texts = {str(value): str(one) for value, one in others.items()}
            self._by_place.append((COLUMNS.index(name), texts))

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self._by_place)

    def put(self, texts: Texts) -> Texts:
        """Return the texts with the other values in their places."""
        put = list(texts)
        for place, others in self._by_place:
            value = put[place]
            if value is not None:
                put[place] = others.get(value, value)
        return put


def _seconds(text: str | None, column: str, where: str) -> float | None:
    """Read a time, or None where there is none."""
    return parse_seconds(text, f"{column} in {where}") if text else None


def _until(
    end_s: float | None, start_s: float | None, duration_s: float | None, where: str
) -> float:
    """Return the duration of a segment that says its end."""
    assert end_s is not None
    if duration_s is not None or start_s is None:
        got = "a duration, too" if start_s is not None else "no start"
        raise CorpusError(f"end in {where}", expected="a start, and no duration", got=got)
    if end_s <= start_s:
        raise CorpusError(f"end in {where}", expected=f"above the start, {start_s}", got=end_s)
    return end_s - start_s


def _selected(
    name: str, start_s: float | None, duration_s: float | None, channel: int | None
) -> str:
    """Name an utterance by its file, and by what it selects of it: times, a channel, or nothing.

    >>> _selected("x", 1.25, 2.0, None), _selected("x", None, 2.0, 1)
    ('x-0001250-0003250', 'x-ch1')
    """
    if start_s is not None:
        name = name_segment(name, start_s, duration_s)
    if channel is not None:
        name += "-mix" if channel == MIX_CHANNELS else f"-ch{channel}"
    return name
