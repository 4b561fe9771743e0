"""Time-aligned labels of a corpus, such as phones, and their look-up at frame centres.

A file of JSON lines, one an utterance, in any order:

    {"id": "a-01", "labels": [[0.0, 0.12, "sil"], [0.12, 0.2, "HH"], [0.2, 0.31, "AH"]]}

Times are seconds from the start of the utterance, in order; an interval holds its start and not its
end. An utterance without a line, and time without an interval, has no label. Other forms are read
by `featbank.base.label_forms`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from featbank.base.framing import Framing
from featbank.errors import CorpusError
from featbank.files.json_files import parse_json
from featbank.files.opening import (
    MAX_LINE,
    NotAFileError,
    TooLargeError,
    bounded_lines,
    open_regular,
)

_EXPECTED = 'labels as [[start_s, end_s, "label"], ...], in order of time'


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Intervals:
    """The labelled intervals of one utterance.

    Args:
        starts_s, ends_s: (N,) seconds, starts in order.
        labels: N names.
    """

    starts_s: npt.NDArray[np.float64]
    ends_s: npt.NDArray[np.float64]
    labels: tuple[str, ...]

    def at(self, times_s: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Return the interval that holds each time (T,), or -1; of several, the last to begin.

        Args:
            times_s: in order.
        """
        found = np.full(len(times_s), -1, np.int64)
        starts, ends = (np.searchsorted(times_s, edges) for edges in (self.starts_s, self.ends_s))
        for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
            found[start:end] = number
        return found

    def at_speed(self, speed: float) -> Intervals:
        """Return the intervals of the utterance as it is played at a speed."""
        if speed == 1:
            return self
        return Intervals(
            starts_s=self.starts_s / speed, ends_s=self.ends_s / speed, labels=self.labels
        )


class Labels(Protocol):
    """Gives the labels of an id, of whatever form their files are.

    `featbank.base.label_forms.find_labels` gives those of an utterance, which may be those of what
    it was made of.
    """

    def names(self) -> Collection[str]:
        """Return the ids that the files name.

        Raises:
            CorpusError: the labels are missing or malformed.
        """

    def name_of(self, utterance_id: str) -> str | None:
        """Return the one of `names` that is meant by an id; None where there is none.

        Raises:
            CorpusError: the labels are missing or malformed, or several could be meant.
        """

    def find(self, utterance_id: str, channel: int | None = None) -> Intervals | None:
        """Return the labels of an id; None where there are none.

        Args:
            utterance_id: of the utterance, or of the recording that it is a channel of.
            channel: index of that channel, from 0, for files that tell channels apart.

        Raises:
            CorpusError: the labels are missing or malformed.
        """


class LabelFile:
    """Reads the labels of one utterance at a time; memory holds an id and a place for each line.

    Args:
        path: of the file, which is read when the first label is asked for.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    def names(self) -> Collection[str]:
        """Return the ids that the file has a line for.

        Raises:
            CorpusError: there is no such file, or a line of it is of another form.
        """
        return self._places.keys()

    def name_of(self, utterance_id: str) -> str | None:
        """Return the id, if the file has a line for it.

        Raises:
            CorpusError: there is no such file, or a line of it is of another form.
        """
        return utterance_id if utterance_id in self._places else None

    def find(self, utterance_id: str, channel: int | None = None) -> Intervals | None:  # noqa: ARG002
        """Return the labels of an id; None where the file has no line for it.

        Raises:
            CorpusError: there is no such file, or a line of it is of another form.
        """
        place = self._places.get(utterance_id)
        if place is None:
            return None
        number, offset = place
        with open_regular(self._path) as file:
            file.seek(offset)
            line = file.readline(MAX_LINE)
        where = f"{self._path}:{number}"
        return intervals_of(_parsed(line, where).get("labels"), where)

    @cached_property
    def _places(self) -> dict[str, tuple[int, int]]:
        """The number and the first byte of the line of each utterance."""
        places: dict[str, tuple[int, int]] = {}
        offset = 0
        try:
            with open_regular(self._path) as file:
                for number, line in enumerate(bounded_lines(file), start=1):
                    where = f"{self._path}:{number}"
                    utterance_id = _parsed(line, where)["id"]
                    if utterance_id in places:
                        got = f"{utterance_id!r} in line {places[utterance_id][0]} too"
                        raise CorpusError(where, expected="an id once", got=got)
                    places[utterance_id] = number, offset
                    offset += len(line)
        except (FileNotFoundError, NotAFileError, TooLargeError) as error:
            raise CorpusError(
                f"labels {self._path}",
                expected="a file of JSON lines",
                got="nothing there" if isinstance(error, FileNotFoundError) else error.strerror,
                hint="corpus.labels is a path below corpus.root, or null",
            ) from error
        return places


def frame_centers_s(framing: Framing, num_frames: int) -> npt.NDArray[np.float64]:
    """Return the time of the middle of each frame, (num_frames,), from the utterance's start.

    Whole numbers are divided, once: a middle that is a label's border to the last digit is equal to
    it.

    >>> wav2vec2 = Framing(sample_rate=16000, window_length=400, hop_length=320)
    >>> frame_centers_s(wav2vec2, 3).tolist()
    [0.0125, 0.0325, 0.0525]
    """
    first = framing.window_length - 2 * framing.left if framing.snip_edges else framing.hop_length
    doubled = first + 2 * framing.hop_length * np.arange(num_frames)
    centers: npt.NDArray[np.float64] = doubled / (2 * framing.sample_rate)
    return centers


def _parsed(line: bytes, where: str) -> dict[str, Any]:
    expected = 'a JSON object with an "id" and "labels"'
    row: dict[str, Any] = parse_json(line, where, CorpusError)
    if set(row) != {"id", "labels"} or not isinstance(row["id"], str):
        raise CorpusError(where, expected=expected, got=f"fields {', '.join(row)}")
    return row


def intervals_of(rows: Any, where: str) -> Intervals:
    """Return intervals of rows `[start_s, end_s, label]`, of anything that claims to be such.

    Args:
        rows: in order of time.
        where: they stand, for messages.

    Raises:
        CorpusError: they are no such rows, or not in order.
    """
    last_start = 0.0
    for number, row in enumerate(rows if isinstance(rows, list) else [rows]):
        if not (
            isinstance(row, list)
            and [type(part) in (int, float) for part in row] == [True, True, False]
            and isinstance(row[2], str)
            and last_start <= row[0] <= row[1]
            and isfinite(row[1])
        ):
            raise CorpusError(where, expected=_EXPECTED, got=f"{row!r} at place {number}")
        last_start = row[0]
    return Intervals(
        starts_s=np.array([row[0] for row in rows], np.float64),
        ends_s=np.array([row[1] for row in rows], np.float64),
        labels=tuple(row[2] for row in rows),
    )
