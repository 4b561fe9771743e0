"""Join of the rows of a corpus with the scans of their files, both sorted by file."""

from __future__ import annotations

import binascii
import marshal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

from featbank.audio import AudioScan
from featbank.base.failures import Failure
from featbank.base.manifest import UtteranceTuple, check_id
from featbank.base.split_names import check_distinct, in_order
from featbank.corpora.base import Corpus, CorpusRow, Present, bad_row, row_of
from featbank.corpora.failing import FailureList
from featbank.corpora.forgotten import Forgotten
from featbank.corpora.links import Links
from featbank.corpora.requiring import Requiring
from featbank.corpora.resolving import resolve
from featbank.corpora.scans import FileScan
from featbank.corpora.scratch import Scratch
from featbank.corpora.sorting import SortedLines, sortable
from featbank.corpora.summary import Examples
from featbank.corpora.variants import at_speed, of_channels
from featbank.errors import AudioError, CorpusError

_MAX_ID = 4096  # characters: that is a name of something
_MAX_UNLISTED = 10_000  # that are named

_BLOCK_ROWS, _BLOCK_CHARACTERS = 256, 1 << 20  # of one file, that are written together

_Block = list[tuple[int, tuple[Any, ...]]]  # rows of one file, each behind its number

# what is said of a file: that a row or a failure mentions it, or that it lies there
_ROW, _MENTIONED, _PRESENT = "1", "2", "3"


class Take(Protocol):
    """Callback that is given each row with its manifest row, or with its failure."""

    def __call__(
        self, row: CorpusRow, number: int, split: str, become: UtteranceTuple | Failure
    ) -> None:
        """Take a row and its outcome.

        Args:
            row: of the corpus.
            number: of it.
            split: it is in; empty where it failed.
            become: of it.
        """


class Join:
    """Joins the rows of a corpus with the scans of their files.

    Args:
        corpus: they are of.
        failures: told what cannot be used.
        scratch: for what is sorted.
        meet: told each row that may be used.
        forgotten: rows of these are left out, and counted.
    """

    def __init__(
        self,
        corpus: Corpus,
        failures: FailureList,
        scratch: Scratch,
        meet: Callable[[CorpusRow], None],
        forgotten: Forgotten,
    ) -> None:
        self.num_rows = 0
        """Of the corpus, those that cannot be used included."""
        self.num_forgotten = 0
        """Rows that were left out; no list names them."""
        self._forgotten = forgotten
        self._corpus, self._failures, self._meet = corpus, failures, meet
        self._required = Requiring(corpus.requirement, corpus.name)
        # what is held out is measured as it is
        self._sped = frozenset() if corpus.speeds == (1.0,) else frozenset(corpus.train)
        self._rows = SortedLines(scratch, "rows")
        self._scans = SortedLines(scratch, "scans")
        self._num_hidden = self._num_clipped = self._num_unlisted = 0
        self._unlisted: list[str] = []
        self._block: _Block = []  # rows of one file, each behind its number
        self._block_audio = ""
        self._block_characters = 0
        self._channels = Counter[int]()
        self._narrow = Examples()
        self._named = self._unnamed = ""  # where a row names a split, and where one does not
        self._splits: set[str] = set()
        self.parts = Counter[str]()
        """How many rows each part has; that without a name is empty."""

    def read(self, links: Links) -> None:
        """Read the corpus.

        Raises:
            CorpusError: it cannot be read, holds nothing, only some of its rows name a split, none
                has the part that the definition speaks of, or two splits have one name on some
                disks.
        """
        for found in self._corpus.stream(links):
            match found:
                case CorpusRow():
                    self._put(found)
                case Failure():
                    self._fail(found)
                case Present(is_hidden=True):
                    self._num_hidden += 1
                case Present():
                    self._rows.add(sortable(found.audio), _PRESENT)
        self._write_block()
        self._required.check_any()
        if not self.num_rows and not self.num_forgotten:
            raise self._corpus.holds_nothing([audio for audio, _ in self._rows])
        if self._named and self._unnamed:
            # the rule would send a speaker to two splits
            raise CorpusError(
                "splits of the corpus",
                expected="one named by every row, or by none",
                got=f"{self._named}, none in {self._unnamed}",
                hint="name them all, or leave the column out with corpus.ignore_columns",
            )
        check_distinct(self.splits, "splits of the corpus", CorpusError)
        if self._corpus.parts.is_set and not any(self.parts):
            raise CorpusError(
                "parts of the corpus",
                expected=f"some, as corpus.part_from={self._corpus.parts.said} says",
                got="an empty one in every row",
                hint="set corpus.part_from=null until there is a release",
            )

    @property
    def splits(self) -> list[str]:
        """Splits of the corpus, in order: those that its rows name, or that its rule has."""
        return in_order(self._splits if self._named else self._corpus.split_rule.names)

    @property
    def names_splits(self) -> bool:
        """Whether the rows of the corpus say their splits, so that no rule has to."""
        return bool(self._named)

    def files(self) -> Iterator[str]:
        """Yield the files that rows name, sorted, and note those that no row names."""
        for audio, said in self._rows.groups():
            what = next(said)[0]  # the first of all in the alphabet
            if what == _ROW:
                yield audio
            elif what == _PRESENT:
                self._num_unlisted += 1
                if len(self._unlisted) < _MAX_UNLISTED:
                    self._unlisted.append(audio)

    def take(self, scan: FileScan) -> None:
        """Add the scan of a file; files may come in any order."""
        self._scans.add(scan.audio, scan.said())

    def resolve(self, take: Take) -> None:
        """Hand out every row with its outcome, once the scans of all files were added."""
        scans = iter(self._scans)
        audio, is_used = "", True
        found: AudioScan | AudioError | None = None
        for line in self._rows.lines():
            of, _, said = line.partition("\t")
            if said[0] != _ROW:
                continue
            if of != audio:
                audio, is_used = of, False
                found = self._scan_of(audio, scans)
            assert found is not None
            for number, fields in _read(said.partition("\t")[2]):
                row = row_of(fields)
                split, outcomes = self._resolved(row, found)
                if not outcomes:
                    self.num_forgotten += 1
                elif split and not is_used:
                    is_used = True
                    self._count(audio, found)
                for become in outcomes:
                    take(row, number, split, become)

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
            **self._required.summary(),
        }

    def _scan_of(self, audio: str, scans: Iterator[tuple[str, str]]) -> AudioScan | AudioError:
        of, text = next(scans)
        scan = FileScan.read(of, text)
        assert scan is not None
        assert of == audio
        return scan.found

    def _count(self, audio: str, found: AudioScan | AudioError) -> None:
        """Count a file of which an utterance is used."""
        assert isinstance(found, AudioScan)
        self._channels[found.num_channels] += 1
        if found.ends_at_hz:
            self._narrow.add(f"{audio} ({found.ends_at_hz} Hz, sampled at {found.sample_rate} Hz)")

    def _put(self, row: CorpusRow) -> None:
        one, audio, where, _, _, _, _, speaker, language, text, part, split, _, *terms = row
        try:
            check_id(one, CorpusError)
            if len(one) > _MAX_ID:
                raise CorpusError(
                    "utterance id", expected=f"{_MAX_ID} characters at most", got=len(one)
                )
        except CorpusError as error:
            self._fail(bad_row(error, where, audio))
            return
        if self._forgotten.holds_name(self._corpus.name, one, speaker):
            self.num_forgotten += 1
            self._rows.add(sortable(audio), _MENTIONED)  # or its file would be named as unlisted
            return
        if split:
            self._named = self._named or f"{split} in {where}"
            self._splits.add(split)
        elif not self._unnamed:
            self._unnamed = where
        if not self._required.takes(*terms):
            self._rows.add(sortable(audio), _MENTIONED)
            return
        self._meet(row)
        self.parts[part] += 1
        block = self._block
        if (
            audio != self._block_audio
            or len(block) == _BLOCK_ROWS
            or self._block_characters > _BLOCK_CHARACTERS
        ):
            self._write_block()
            self._block_audio = audio
        block.append((self.num_rows, tuple(row)))
        said = (text, speaker, language, part, *terms)
        self._block_characters += sum(map(len, said))
        self.num_rows += 1

    def _write_block(self) -> None:
        """Write rows of one file that follow each other as one line: a tenth of their price."""
        if self._block:
            said = f"{_ROW}{self._block[0][0]:012d}\t{_written(self._block)}"
            self._rows.add(self._block_audio, said)
            self._block.clear()
            self._block_characters = 0

    def _fail(self, failure: Failure) -> None:
        self.num_rows += 1
        self._failures.add(failure)
        if failure.audio:
            self._rows.add(sortable(failure.audio), _MENTIONED)

    def _resolved(
        self, row: CorpusRow, found: AudioScan | AudioError
    ) -> tuple[str, Sequence[UtteranceTuple | Failure]]:
        """Return the split of a row, and its utterances: several of channels and of speeds.

        The split is that of the row: what are variants of one recording is in one. A row that fails
        has no split, and one failure; one that is forgotten, by its audio, has no utterance.
        """
        corpus = self._corpus
        try:
            split = row.split or corpus.split_rule.split_of(
                utterance_id=row.id, speaker=row.speaker
            )
            rows = of_channels(row, found) if corpus.each_channel else (row,)
            resolved = [
                resolve(one, found, corpus.channel, tolerance_s=corpus.segment_tolerance_s)
                for one in rows
            ]
            utterances = [utterance for utterance, _ in resolved]
            if split in self._sped:
                utterances = [at_speed(one, speed) for one in utterances for speed in corpus.speeds]
            if self._forgotten.marks:
                holds = partial(self._forgotten.holds, corpus.name)
                utterances = [one for one in utterances if not holds(one)]
        except CorpusError as error:
            return "", [bad_row(error, row.where, row.audio)]
        except AudioError as error:
            failure = Failure.of(error, id=row.id, audio=row.audio, root=corpus.root)
            return "", [failure]
        self._num_clipped += resolved[0][1]  # its channels end where it ends
        return split, utterances


def _written(block: _Block) -> str:
    """Return tuples as a text without a tab or a newline; this process reads it, and no other."""
    return binascii.b2a_base64(marshal.dumps(block), newline=False).decode()


def _read(text: str) -> _Block:
    block: _Block = marshal.loads(binascii.a2b_base64(text))  # noqa: S302 - our own
    return block
