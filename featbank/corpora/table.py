"""Corpus layout of a folder of audio with a table that describes it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

from featbank.base.failures import Failure, brief
from featbank.base.manifest import MIX_CHANNELS
from featbank.corpora.base import (
    Corpus,
    CorpusRow,
    Found,
    bad_row,
    parse_channel,
    row_of,
)
from featbank.corpora.cells import Table
from featbank.corpora.links import Links
from featbank.corpora.paths import AudioPaths, stem, walk_audio
from featbank.errors import ConfigError, CorpusError

_LONGEST_S = 1e9  # thirty years: what is more is no time in a recording
_NUMBER_CHARACTERS = 64

_Select = Callable[[list[str | None]], tuple[str | None, ...]]

COLUMNS = (
    "path", "audio", "id", "start", "duration", "channel",
    "speaker", "language", "split", "text", "part",
)  # fmt: skip
"""What a table may say of an utterance; `path` and `audio` are two words for one thing."""


class TableCorpus(Corpus):
    """Reads a TSV, CSV or JSON-lines table with one utterance a row, as it is or in gzip.

    Columns: `path` or `audio` (relative to the root), and optionally `id`, `start` and `duration`
    in seconds, `channel` (an index from 0, or `mix`), `speaker`, `language`, `split`, `text` and
    `part`. An utterance without an id is named by its path without suffix, and by what else it
    selects: its times in milliseconds, its channel. A segment needs a `start`, 0 for one at the
    beginning of its file: without one, an utterance is the whole file, and its `duration` is only
    held against the length that the file has.

    Args:
        table: path of the table, relative to the root.
        columns: what the table calls a column -> what it is called here.
        ignore_columns: columns of the table that are not used.
        arguments: as of `Corpus`.
    """

    version = 1
    reads_elsewhere = True

    def __init__(
        self,
        *,
        table: str,
        columns: Mapping[str, str] | None = None,
        ignore_columns: Sequence[str] = (),
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self.table = self.root / table
        self.columns = dict(columns or {})
        self.ignore_columns = frozenset(ignore_columns)
        if unknown := sorted(set(self.columns.values()) - set(COLUMNS)):
            raise ConfigError(
                "corpus.columns",
                expected=f"names among {', '.join(COLUMNS)}",
                got=", ".join(unknown),
            )

    def read(self, links: Links) -> Iterator[Found]:
        """Read the table, then give the audio files that there are."""
        table = Table(self.table, self.root)
        paths = AudioPaths(self.root, links)
        select: _Select | None = None
        has_bad_rows = False
        for cells in table.read():
            if isinstance(cells, Failure):
                has_bad_rows = True
                yield cells
                continue
            where, values = cells
            if select is None and not table.is_json:
                select = _select(self._names(list(table.columns)), table.columns)
            try:
                if isinstance(values, list):
                    assert select
                    texts = select([*values, None])
                else:
                    texts = self._texts(values, where)
                row = self._row(texts, where, paths)
            except CorpusError as error:
                yield bad_row(error, where)
            else:
                paths.check_links(row.audio, where)
                yield row
        if table.columns or not has_bad_rows:
            self._names(list(table.columns))  # of JSON lines, and of a table without a row
        yield from walk_audio(self.root, links)

    def _texts(self, values: Mapping[str, Any], where: str) -> tuple[str | None, ...]:
        """Return the values of a JSON line that are used as texts, in the order of `COLUMNS`."""
        texts = {
            self.columns.get(column, column): _text(value, f"{column} in {where}")
            for column, value in values.items()
            if column not in self.ignore_columns
        }
        return tuple(map(texts.get, COLUMNS))

    def _names(self, columns: Sequence[str]) -> dict[str, str]:
        """Return our name of each column of the table that is used."""
        where = f"columns of {self.table}"
        if absent := sorted(set(self.columns) - set(columns)):
            raise CorpusError(
                where,
                expected=f"{', '.join(absent)}, as corpus.columns says",
                got=brief(", ".join(columns)),
            )
        used = [column for column in columns if column not in self.ignore_columns]
        names = {column: self.columns.get(column, column) for column in used}
        if unknown := [column for column, name in names.items() if name not in COLUMNS]:
            raise CorpusError(
                where,
                expected=f"only {', '.join(COLUMNS)}",
                got=brief(", ".join(unknown)),
                hint="rename them with corpus.columns, or name them in corpus.ignore_columns",
            )
        meant = sorted(names.values())
        if len(set(meant)) != len(meant) or ("path" in meant) + ("audio" in meant) != 1:
            raise CorpusError(
                where,
                expected="path or audio, and every other column at most once",
                got=brief(", ".join(meant)),
            )
        return names

    def _row(self, texts: tuple[str | None, ...], where: str, paths: AudioPaths) -> CorpusRow:
        path, audio, one, start, duration, number, speaker, language, split, text, part = texts
        audio = paths.relative(path or audio or "", where)
        start_s = _seconds(start, "start", where)
        duration_s = _seconds(duration, "duration", where)
        if duration_s == 0:
            raise CorpusError(f"duration in {where}", expected="above 0", got=duration)
        channel = parse_channel(number, f"channel in {where}", CorpusError) if number else None
        if split == "":
            raise CorpusError(f"split in {where}", expected="a name", got="''")
        is_segment = start_s is not None
        return row_of(
            (
                one or stem(audio) + _selection(start_s, duration_s, channel),
                audio,
                where,
                start_s or 0.0,
                duration_s if is_segment else None,
                None if is_segment else duration_s,
                channel,
                speaker or "",
                language or self.language,
                text or "",
                part or "",
                split or "",
            )
        )


def _select(names: Mapping[str, str], columns: Iterable[str]) -> _Select:
    """Return what puts the cells of a row, and None behind them, into the order of `COLUMNS`.

    Args:
        names: column of the table that is used -> our name of it.
        columns: of the table.
    """
    places = {names.get(column): place for place, column in enumerate(columns)}
    return itemgetter(*(places.get(name, -1) for name in COLUMNS))


def _text(value: Any, where: str) -> str:
    if isinstance(value, bool | list | dict):
        raise CorpusError(where, expected="text or a number", got=brief(json.dumps(value)))
    if isinstance(value, float) and not math.isfinite(value):
        raise CorpusError(
            where, expected="text or a number", got=f"one that is not finite, {value}"
        )
    return str(value)


def _seconds(text: str | None, column: str, where: str) -> float | None:
    """Read a time, or None where there is none."""
    if not text:
        return None
    try:
        seconds = float(text) if len(text) <= _NUMBER_CHARACTERS else math.inf
    except ValueError:
        seconds = math.nan
    # Python takes digits of other scripts, and lines between digits, for a number, too
    if 0 <= seconds <= _LONGEST_S and text.isascii() and "_" not in text:
        return seconds
    raise CorpusError(f"{column} in {where}", expected="seconds, 0 or more", got=brief(repr(text)))


def _selection(start_s: float | None, duration_s: float | None, channel: int | None) -> str:
    """Name what an utterance selects of its file: nothing, times in milliseconds, a channel.

    >>> _selection(1.25, 2.0, None), _selection(None, 2.0, 1), _selection(0.5, None, None)
    ('-0001250-0003250', '-ch1', '-0000500-end')
    """
    name = ""
    if start_s is not None:
        end = "end" if duration_s is None else f"{round(1000 * (start_s + duration_s)):07d}"
        name = f"-{round(1000 * start_s):07d}-{end}"
    if channel is not None:
        name += "-mix" if channel == MIX_CHANNELS else f"-ch{channel}"
    return name
