"""The forms of files of labels: which utterances each names, and how its lines are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from featbank.base.label_forms.textgrid import textgrid_rows
from featbank.errors import CorpusError
from featbank.files.opening import MAX_LINE, bounded_lines, open_regular

Row = list[float | str]
"""One label: start in seconds, end in seconds, name."""

_DIGITS = 6  # of a second: sums of decimals have more
_CHANNELS = {"1": 0, "2": 1, "A": 0, "B": 1}  # of a CTM


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Which labels of a file are read, and how its times are counted.

    Args:
        tier: `phones`, `words`, or the name of a tier of a TextGrid.
        sample_rate: that numbers of samples count at, in Hz.
        channel: index from 0 of the one that is asked for, where a file tells channels apart; None
            for a recording as a whole.
    """

    tier: str
    sample_rate: int
    channel: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelPlace:
    """Where the labels of an utterance begin.

    Args:
        path: of their file.
        line: of it, from 1.
        offset: first byte of that line.
    """

    path: Path
    line: int = 1
    offset: int = 0


Named = Iterator[tuple[str, int, int]]
"""Names in a file, each with its line and the first byte of that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelForm:
    """A form of files of labels.

    Args:
        ending: of their names, in small letters.
        tier: what they label; None where they may label anything.
        rows: gives the labels that begin at a place.
        names: gives the utterances that a file names; None where the file's name is that of its
            only one.
        in_folders: whether an id begins with the folders of its file.
    """

    ending: str
    tier: str | None
    rows: Callable[[LabelPlace, Reading], list[Row]]
    names: Callable[[Path], Named] | None = None
    in_folders: bool = True


def _sample_rows(place: LabelPlace, reading: Reading) -> list[Row]:
    """Read TIMIT's lines of first sample, end and label."""
    rows: list[Row] = []
    with open_regular(place.path) as file:
        for number, line in enumerate(bounded_lines(file), start=1):
            where = f"{place.path}:{number}"
            cells = _words(line, where)
            if not cells:
                continue
            if len(cells) != 3 or not (cells[0].isdecimal() and cells[1].isdecimal()):
                raise _malformed(where, "first sample, end and label", line)
            start, end = (int(cell[:18]) / reading.sample_rate for cell in cells[:2])
            rows.append([start, end, cells[2]])
    return rows


def _ctm_names(path: Path) -> Named:
    last = ""
    with open_regular(path) as file:
        offset = 0
        for number, line in enumerate(bounded_lines(file), start=1):
            if (cells := _ctm_cells(line, f"{path}:{number}")) and cells[0] != last:
                last = cells[0]
                yield last, number, offset
            offset += len(line)


def _ctm_rows(place: LabelPlace, reading: Reading) -> list[Row]:
    by_channel: dict[str, list[Row]] = {}
    first: list[str] = []
    with open_regular(place.path) as file:
        file.seek(place.offset)
        for number, line in enumerate(bounded_lines(file), start=place.line):
            where = f"{place.path}:{number}"
            if not (cells := _ctm_cells(line, where)):
                continue
            first = first or cells
            if cells[0] != first[0]:
                break
            if cells[1] != first[1] and reading.channel is None:
                raise CorpusError(where, expected=f"channel {first[1]}", got=cells[1])
            start, duration = (_seconds(cell, where) for cell in cells[2:4])
            row: Row = [start, round(start + duration, _DIGITS), cells[4]]
            by_channel.setdefault(cells[1], []).append(row)
    if reading.channel is None or by_channel.keys() == {"1"}:  # as Kaldi has it, of any channel
        return [row for rows in by_channel.values() for row in rows]
    return [
        row
        for channel, rows in by_channel.items()
        if _CHANNELS.get(channel) == reading.channel
        for row in rows
    ]


def _ctm_cells(line: bytes, where: str) -> list[str]:
    """Return utterance, channel, start, duration and label; none of a comment or a blank line."""
    if line.startswith(b";;"):
        return []
    cells = _words(line, where)
    if cells and not 5 <= len(cells) <= 8:  # confidence, type and speaker may follow
        raise _malformed(where, "utterance, channel, start, duration and label", line)
    return cells


def _alignment_names(path: Path) -> Named:
    with open_regular(path) as file:
        offset = 0
        for number, line in enumerate(bounded_lines(file), start=1):
            if cells := _words(line, f"{path}:{number}"):
                yield cells[0], number, offset
            offset += len(line)


def _alignment_rows(place: LabelPlace, _: Reading) -> list[Row]:
    """Read an id, its words and their ends, in commas; silence is an empty word."""
    where = f"{place.path}:{place.line}"
    with open_regular(place.path) as file:
        line = _line_at(file, place)
    cells = _words(line, where)
    words, ends = ([cell.strip('"').split(",") for cell in cells[1:]] + [[], []])[:2]
    if len(cells) != 3 or len(words) != len(ends):
        raise _malformed(where, 'an id, "WORD,WORD" and as many ends "0.5,0.9"', line)
    rows: list[Row] = []
    start = 0.0
    for word, text in zip(words, ends, strict=True):
        end = _seconds(text, where)
        if end < start:
            raise CorpusError(where, expected=f"an end from {start} on", got=text)
        if word:
            rows.append([start, end, word])
        start = end
    return rows


def _textgrid_rows(place: LabelPlace, reading: Reading) -> list[Row]:
    return textgrid_rows(place.path, reading.tier)


FORMS: Mapping[str, LabelForm] = {
    "textgrid": LabelForm(ending=".textgrid", tier=None, rows=_textgrid_rows),
    "ctm": LabelForm(ending=".ctm", tier=None, rows=_ctm_rows, names=_ctm_names, in_folders=False),
    "phn": LabelForm(ending=".phn", tier="phones", rows=_sample_rows),
    "wrd": LabelForm(ending=".wrd", tier="words", rows=_sample_rows),
    "librispeech": LabelForm(
        ending=".alignment.txt", tier="words", rows=_alignment_rows, names=_alignment_names
    ),
}
"""By the name that `corpus.labels.form` gives them."""


def _line_at(file: BufferedReader, place: LabelPlace) -> bytes:
    file.seek(place.offset)
    return file.readline(MAX_LINE)


def _words(line: bytes, where: str) -> list[str]:
    try:
        return line.decode().split()
    except UnicodeDecodeError as error:
        raise CorpusError(where, expected="UTF-8", got=f"byte 0x{line[error.start]:02x}") from error


def _seconds(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise CorpusError(where, expected="seconds", got=repr(text[:100])) from error


def _malformed(where: str, expected: str, line: bytes) -> CorpusError:
    return CorpusError(where, expected=expected, got=repr(line[:100].decode(errors="replace")))
