"""Write the manifests of a corpus: its utterances by id, each id once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from featbank.corpora.base import CorpusRow
from featbank.corpora.failing import FailureList
from featbank.corpora.scratch import Scratch
from featbank.corpora.sorting import SortedLines, sortable
from featbank.corpora.summary import Tally
from featbank.failures import Failure
from featbank.manifest import SPLITS, Utterance, manifest_line
from featbank.provenance import canonical_json, open_atomic


class _Entry(NamedTuple):
    """What has become of a row: a line of a manifest, in a split, or of the failure list."""

    audio: str  # first: folders are read in no order
    number: str
    where: str
    split: str
    seen: str
    rate: str
    num_samples: str
    speaker: str
    line: str

    @property
    def is_failure(self) -> bool:
        return not self.split


class Manifests:
    """The rows of a corpus by id.

    Args:
        failures: told of rows that share an id, and of those that have failed.
        scratch: for what is sorted.
    """

    def __init__(self, failures: FailureList, scratch: Scratch) -> None:
        self._failures = failures
        self._lines = SortedLines(scratch, "ids")
        self._tally = Tally(scratch)

    def add(self, row: CorpusRow, number: str, split: str, become: Utterance | Failure) -> None:
        """Add what has become of a row; one that failed has its id, too."""
        where = sortable(row.where)
        if isinstance(become, Failure):
            entry = (row.audio, number, where, "", "", "", "", "", canonical_json(asdict(become)))
        else:
            seen = (become.audio_digest, become.start_sample, become.num_samples, become.channel)
            entry = (
                row.audio, number, where, split, " ".join(map(str, seen)),
                str(become.sample_rate), str(become.num_samples), sortable(become.speaker),
                manifest_line(become),
            )  # fmt: skip
        self._lines.add(row.id, "\t".join(entry))

    def write(self, folder: Path) -> None:
        """Write `train.jsonl`, `dev.jsonl` and `test.jsonl`, and tell the failures."""
        with ExitStack() as stack:
            files = {
                split: stack.enter_context(open_atomic(folder / f"{split}.jsonl"))
                for split in SPLITS
            }
            for one, lines in self._lines.groups():
                entries = (_Entry._make(line.split("\t")) for line in lines)
                first = next(entries)
                second = next(entries, None)
                if second is not None:
                    self._refuse_repeated(one, first, second, entries)
                elif first.is_failure:
                    self._failures.add(Failure(**json.loads(first.line)))
                else:
                    self._write(files[first.split], one, first)

    def summary(self) -> dict[str, Any]:
        """Return what was counted, for `corpus.json`."""
        return self._tally.summary()

    def _write(self, file: BinaryIO, one: str, entry: _Entry) -> None:
        file.write(f"{entry.line}\n".encode())
        self._tally.add(
            one,
            entry.audio,
            split=entry.split,
            sample_rate=int(entry.rate),
            num_samples=int(entry.num_samples),
            speaker=entry.speaker,
            seen=entry.seen,
        )

    def _refuse_repeated(
        self, one: str, first: _Entry, second: _Entry, more: Iterator[_Entry]
    ) -> None:
        """Refuse all rows of an id: nothing says which of them is meant."""
        self._repeated(one, first, f"{first.where} and {second.where}")
        for entry in (second, *more):
            self._repeated(one, entry, f"{first.where} and {entry.where}")

    def _repeated(self, one: str, entry: _Entry, where: str) -> None:
        self._failures.add(
            Failure(
                id=one,
                audio=entry.audio,
                kind="repeated_id",
                error=f"utterance {one!r}",
                expected="an id once",
                got=where,
            )
        )
