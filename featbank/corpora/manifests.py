"""Writing of a corpus's manifests: utterances sorted by id, each id once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from featbank.base.failures import Failure
from featbank.base.manifest import UtteranceTuple, manifest_line
from featbank.base.places import row_group
from featbank.base.speeds import played_rate
from featbank.corpora.base import CorpusRow
from featbank.corpora.failing import FailureList
from featbank.corpora.scratch import Scratch
from featbank.corpora.sorting import SortedLines, sortable
from featbank.corpora.summary import SummaryTally
from featbank.files.provenance import canonical_json, open_atomic

_WHERE = 3  # among what is said of a row
_NOTHING = "\t" * 9  # of a failure, where a row says what it is


class Manifests:
    """Collects the rows of a corpus and writes them as manifests.

    Args:
        splits: of the corpus; one may turn out empty.
        failures: told of rows that share an id, and of those that have failed.
        scratch: for what is sorted.

    Attributes:
        num_back: how often an utterance, in the order of ids, lies in a row group of Parquet that
            is before that of the last one.
    """

    def __init__(self, splits: Sequence[str], failures: FailureList, scratch: Scratch) -> None:
        self._splits = splits
        self._failures = failures
        self._lines = SortedLines(scratch, "ids")
        self._tally = SummaryTally(splits, scratch)
        self.num_back = 0
        self._last_group = dict.fromkeys(splits, "")
        self.num_without_text = Counter[str]()
        """Utterances of each split of which no text is known, once the manifests are written."""

    def add(
        self, row: CorpusRow, number: int, split: str, become: UtteranceTuple | Failure
    ) -> None:
        """Add the outcome of a row: its manifest row, or its failure, which has its id, too."""
        where = sortable(row.where)
        # by file first: folders are read in no order
        if isinstance(become, Failure):
            said = canonical_json(asdict(become))
            self._lines.add(row.id, f"{row.audio}\t{number:012d}\t{where}{_NOTHING}\t{said}")
            return
        one, audio, digest, rate, start, num_samples, channel, speaker, *_ = become
        text = "text" if become.text else ""
        # at whatever speed, it is the same audio
        seen = f"{digest} {start} {num_samples} {channel}"
        played = played_rate(rate, become.speed)
        self._lines.add_line(
            f"{one}\t{audio}\t{number:012d}\t{where}\t{split}\t{rate}\t{played}\t{num_samples}"
            f"\t{seen}\t{sortable(speaker)}\t{text}\t{sortable(become.license)}"
            f"\t{sortable(become.consent)}\t{manifest_line(become)}",
        )

    def write(self, folder: Path) -> None:
        """Write `<split>.jsonl` for each split, and report the failures."""
        with ExitStack() as stack:
            files = {
                split: stack.enter_context(open_atomic(folder / f"{split}.jsonl"))
                for split in self._splits
            }
            first: list[str] = []  # what is said of the first row of an id
            is_repeated = False
            for line in self._lines.lines():
                entry = line.split("\t")
                if first and first[0] == entry[0]:
                    self._refuse(first, entry, is_first=not is_repeated)
                    is_repeated = True
                    continue
                if first and not is_repeated:
                    self._write(files, first)
                first, is_repeated = entry, False
            if first and not is_repeated:
                self._write(files, first)

    def summary(self) -> dict[str, Any]:
        """Return what was counted, for `corpus.json`."""
        return self._tally.summary()

    def _write(self, files: Mapping[str, BinaryIO], entry: list[str]) -> None:
        one, audio, _, _, split, rate, played, num_samples, seen, speaker, text, *terms, line = (
            entry
        )
        if not split:
            self._failures.add(Failure(**json.loads(line)))
            return
        files[split].write(f"{line}\n".encode())
        if group := row_group(audio):
            self.num_back += group < self._last_group[split]
            self._last_group[split] = group
        self.num_without_text[split] += not text
        self._tally.add(
            one,
            audio,
            split=split,
            sample_rate=int(rate),
            played_rate=int(played),
            num_samples=int(num_samples),
            speaker=speaker,
            terms=terms,
            seen=seen,
        )

    def _refuse(self, first: list[str], entry: list[str], *, is_first: bool) -> None:
        """Refuse a row whose id another has: nothing says which of them is meant."""
        where = f"{first[_WHERE]} and {entry[_WHERE]}"
        for one, audio, *_ in (first, entry) if is_first else (entry,):
            self._failures.add(
                Failure(
                    id=one,
                    audio=audio,
                    kind="repeated_id",
                    error=f"utterance {one!r}",
                    expected="an id once",
                    got=where,
                )
            )
