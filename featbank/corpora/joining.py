"""Join the rows of a corpus with what is found of their files, both sorted by file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from operator import attrgetter
from typing import Any, Protocol

from featbank.audio import AudioScan
from featbank.corpora.base import Corpus, CorpusRow, Present, bad_row
from featbank.corpora.failing import FailureList
from featbank.corpora.links import Links
from featbank.corpora.resolving import resolve
from featbank.corpora.scans import FileScan
from featbank.corpora.scratch import Scratch
from featbank.corpora.sorting import SortedLines, sortable
from featbank.corpora.summary import Examples
from featbank.errors import AudioError, CorpusError
from featbank.failures import Failure
from featbank.manifest import Utterance, check_id

_MAX_ID = 4096  # characters: that is a name of something
_MAX_UNLISTED = 10_000  # that are named

_TEXTS = ("id", "where", "speaker", "language", "text", "part", "split")
_NUMBERS = ("start_s", "duration_s", "claimed_duration_s", "channel")
_NONE = repr(None)
_texts, _numbers = attrgetter(*_TEXTS), attrgetter(*_NUMBERS)

# what is said of a file: that a row or a failure mentions it, or that it lies there
_ROW, _MENTIONED, _PRESENT = "1", "2", "3"


class Take(Protocol):
    """Takes what has become of a row."""

    def __call__(
        self, row: CorpusRow, number: str, split: str, become: Utterance | Failure
    ) -> None:
        """Take it.

        Args:
            row: of the corpus.
            number: of it, as text of one length.
            split: it is in; empty where it failed.
            become: of it.
        """


class Join:
    """Rows by file.

    Args:
        corpus: they are of.
        failures: told what cannot be used.
        scratch: for what is sorted.
    """

    def __init__(self, corpus: Corpus, failures: FailureList, scratch: Scratch) -> None:
        self.num_rows = 0
        """Of the corpus, those that cannot be used included."""
        self._corpus, self._failures = corpus, failures
        self._rows = SortedLines(scratch, "rows")
        self._scans = SortedLines(scratch, "scans")
        self._num_hidden = self._num_clipped = self._num_unlisted = 0
        self._unlisted: list[str] = []
        self._channels = Counter[int]()
        self._narrow = Examples()
        self._named = self._unnamed = ""  # where a row names a split, and where one does not

    def read(self, links: Links) -> None:
        """Read the corpus.

        Raises:
            CorpusError: it cannot be read, holds nothing, or only some of its rows name a split.
        """
        for found in self._corpus.stream(links):
            match found:
                case Present(is_hidden=True):
                    self._num_hidden += 1
                case Present():
                    self._rows.add(sortable(found.audio), _PRESENT)
                case Failure():
                    self._fail(found)
                case CorpusRow():
                    self._put(found)
        if not self.num_rows:
            raise self._corpus.holds_nothing([audio for audio, _ in self._rows])
        if self._named and self._unnamed:
            # the rule would send a speaker to two splits
            raise CorpusError(
                "splits of the corpus",
                expected="one named by every row, or by none",
                got=f"{self._named}, none in {self._unnamed}",
                hint="name them all, or leave the column out with corpus.ignore_columns",
            )

    def files(self) -> Iterator[str]:
        """Give the files that rows name, sorted, and see which are in no row."""
        for audio, said in self._rows.groups():
            what = next(said)[0]  # the first of all in the alphabet
            if what == _ROW:
                yield audio
            elif what == _PRESENT:
                self._num_unlisted += 1
                if len(self._unlisted) < _MAX_UNLISTED:
                    self._unlisted.append(audio)

    def take(self, scan: FileScan) -> None:
        """Take what is found of a file, in any order."""
        self._scans.add(scan.audio, scan.said())

    def resolve(self, take: Take) -> None:
        """Give every row with what has become of it, once all files have been taken."""
        scans = iter(self._scans)
        for audio, said in self._rows.groups():
            first = next(said)
            if first[0] != _ROW:
                continue
            of, text = next(scans)
            scan = FileScan.read(of, text)
            assert scan is not None
            assert of == audio
            found, is_used = scan.found, False
            for line in chain([first], said):
                if line[0] != _ROW:
                    break
                number, _, text = line[1:].partition("\t")
                row = _read_row(audio, text)
                split, become = self._resolved(row, found)
                is_used |= isinstance(become, Utterance)
                take(row, number, split, become)
            if is_used and isinstance(found, AudioScan):
                self._channels[found.num_channels] += 1
                if found.ends_at_hz:
                    self._narrow.add(
                        f"{audio} ({found.ends_at_hz} Hz, sampled at {found.sample_rate} Hz)"
                    )

    def summary(self) -> dict[str, Any]:
        """Return what was counted, for `corpus.json`."""
        return {
            "num_unlisted": self._num_unlisted,
            "unlisted": self._unlisted,
            "num_hidden": self._num_hidden,
            "num_clipped": self._num_clipped,
            "upsampled": self._narrow.told(
                "files hold nothing above a frequency far below half their rate: they were "
                "upsampled, or a codec cut them"
            ),
            "channels": {str(number): files for number, files in sorted(self._channels.items())},
        }

    def _put(self, row: CorpusRow) -> None:
        try:
            check_id(row.id, CorpusError)
            if len(row.id) > _MAX_ID:
                raise CorpusError(
                    "utterance id", expected=f"{_MAX_ID} characters at most", got=len(row.id)
                )
        except CorpusError as error:
            self._fail(bad_row(error, row.where, row.audio))
            return
        if row.split:
            self._named = self._named or f"{row.split} in {row.where}"
        else:
            self._unnamed = self._unnamed or row.where
        self._rows.add(row.audio, f"{_ROW}{self.num_rows:012d}\t{_written(row)}")
        self.num_rows += 1

    def _fail(self, failure: Failure) -> None:
        self.num_rows += 1
        self._failures.add(failure)
        if failure.audio:
            self._rows.add(sortable(failure.audio), _MENTIONED)

    def _resolved(
        self, row: CorpusRow, found: AudioScan | AudioError
    ) -> tuple[str, Utterance | Failure]:
        """Return the split of a row, and what becomes of it."""
        corpus = self._corpus
        try:
            split = row.split or corpus.split_rule.split_of(
                utterance_id=row.id, speaker=row.speaker
            )
            utterance, is_clipped = resolve(
                row, found, corpus.channel, tolerance_s=corpus.segment_tolerance_s
            )
        except CorpusError as error:
            return "", bad_row(error, row.where, row.audio)
        except AudioError as error:
            return "", Failure.of(error, id=row.id, audio=row.audio, root=corpus.root)
        self._num_clipped += is_clipped
        return split, utterance


def _written(row: CorpusRow) -> str:
    """Return all of a row but its file in one line: texts as they are, where that can be."""
    texts = "\t".join(_texts(row))
    numbers = " ".join(map(repr, _numbers(row)))
    if texts.replace("\t", "").isprintable() and texts.count("\t") == len(_TEXTS) - 1:
        return f"{numbers}\t{texts}"
    return f"{numbers}\t\t{json.dumps(_texts(row))}"


def _read_row(audio: str, line: str) -> CorpusRow:
    numbers, *texts = line.split("\t")
    if not texts[0]:  # no id is empty
        texts = json.loads(texts[1])
    start_s, duration_s, claimed_s, channel = numbers.split(" ")
    one, where, speaker, language, text, part, split = texts
    return CorpusRow(
        id=one,
        audio=audio,
        where=where,
        start_s=float(start_s),
        duration_s=None if duration_s == _NONE else float(duration_s),
        claimed_duration_s=None if claimed_s == _NONE else float(claimed_s),
        channel=None if channel == _NONE else int(channel),
        speaker=speaker,
        language=language,
        text=text,
        part=part,
        split=split,
    )
