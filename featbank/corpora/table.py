"""A folder of audio with a table that describes it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from featbank.corpora.base import (
    Corpus,
    CorpusRow,
    Found,
    bad_row,
    check_split,
    parse_channel,
)
from featbank.corpora.cells import Cells, Table
from featbank.corpora.links import Links
from featbank.corpora.paths import AudioPaths, stem, walk_audio
from featbank.errors import ConfigError, CorpusError
from featbank.failures import Failure, brief
from featbank.manifest import MIX_CHANNELS

_LONGEST_S = 1e9  # thirty years: what is more is no time in a recording
_NUMBER_CHARACTERS = 64

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
        names: dict[str, str] | None = None
        has_bad_rows = False
        for cells in table.read():
            if isinstance(cells, Failure):
                has_bad_rows = True
                yield cells
                continue
            if names is None and not table.is_json:
                names = self._names(list(table.columns))
            try:
                row = self._row(self._named(cells, names), cells.where, paths)
            except CorpusError as error:
                yield bad_row(error, cells.where)
            else:
                paths.check_links(row.audio, row.where)
                yield row
        if table.columns or not has_bad_rows:
            self._names(list(table.columns))  # of JSON lines, and of a table without a row
        yield from walk_audio(self.root, links)

    def _named(self, cells: Cells, names: Mapping[str, str] | None) -> dict[str, str]:
        """Return the cells that are used as texts, by our names of their columns."""
        if names is not None:
            return {name: cells.values[column] for column, name in names.items()}
        return {
            self.columns.get(column, column): _text(value, f"{column} in {cells.where}")
            for column, value in cells.values.items()
            if column not in self.ignore_columns
        }

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

    def _row(self, values: Mapping[str, str], where: str, paths: AudioPaths) -> CorpusRow:
        audio = paths.relative(values.get("path") or values.get("audio", ""), where)
        start_s = _seconds(values, "start", where)
        duration_s = _seconds(values, "duration", where)
        if duration_s == 0:
            raise CorpusError(f"duration in {where}", expected="above 0", got=values["duration"])
        channel = parse_channel(values.get("channel", ""), f"channel in {where}", CorpusError)
        split = check_split(values["split"], where) if "split" in values else ""
        return CorpusRow(
            id=values.get("id") or stem(audio) + _selection(start_s, duration_s, channel),
            audio=audio,
            where=where,
            start_s=start_s or 0.0,
            duration_s=None if start_s is None else duration_s,
            claimed_duration_s=duration_s if start_s is None else None,
            channel=channel,
            speaker=values.get("speaker", ""),
            language=values.get("language") or self.language,
            text=values.get("text", ""),
            part=values.get("part", ""),
            split=split,
        )


def _text(value: Any, where: str) -> str:
    if isinstance(value, bool | list | dict):
        raise CorpusError(where, expected="text or a number", got=brief(json.dumps(value)))
    if isinstance(value, float) and not math.isfinite(value):
        raise CorpusError(
            where, expected="text or a number", got=f"one that is not finite, {value}"
        )
    return str(value)


def _seconds(values: Mapping[str, str], column: str, where: str) -> float | None:
    """Read a time, or None where the cell is empty."""
    text = values.get(column, "")
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
