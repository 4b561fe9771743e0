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
from featbank.corpora.sorting import SortedLines, sortable
from featbank.corpora.summary import Tally
from featbank.failures import Failure
from featbank.manifest import SPLITS, Utterance, manifest_line
from featbank.provenance import canonical_json, open_atomic


class _Entry(NamedTuple):
    """What has become of a row."""

    where: str
    split: str
    is_failure: bool
    line: str


class Manifests:
    """The rows of a corpus by id.

    Args:
        failures: told of rows that share an id, and of those that have failed.
        scratch: folder for what is sorted.
    """

    def __init__(self, failures: FailureList, scratch: Path) -> None:
        self._failures = failures
        self._lines = SortedLines(scratch, "ids")
        self._tally = Tally(scratch)

    def add(self, row: CorpusRow, number: str, split: str, become: Utterance | Failure) -> None:
        """Add what has become of a row; one that failed has its id, too."""
        if isinstance(become, Failure):
            kind, line = "-", canonical_json(asdict(become))
        else:
            kind, line = "+", manifest_line(become)
        # by file first: folders are read in no order
        said = (row.audio, number, sortable(row.where), split, kind, line)
        self._lines.add(row.id, "\t".join(said))

    def write(self, folder: Path) -> None:
        """Write `train.jsonl`, `dev.jsonl` and `test.jsonl`, and tell the failures."""
        with ExitStack() as stack:
            files = {
                split: stack.enter_context(open_atomic(folder / f"{split}.jsonl"))
                for split in SPLITS
            }
            for one, lines in self._lines.groups():
                entries = (_Entry(*_parts(line)) for line in lines)
                first = next(entries)
                second = next(entries, None)
                if second is not None:
                    self._refuse_repeated(one, first, second, entries)
                elif first.is_failure:
                    self._failures.add(Failure(**json.loads(first.line)))
                else:
                    self._write(files[first.split], first)

    def summary(self) -> dict[str, Any]:
        """Return what was counted, for `corpus.json`."""
        return self._tally.summary()

    def _write(self, file: BinaryIO, entry: _Entry) -> None:
        file.write(f"{entry.line}\n".encode())
        self._tally.add(entry.split, json.loads(entry.line))

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
                audio=json.loads(entry.line)["audio"],
                kind="repeated_id",
                error=f"utterance {one!r}",
                expected="an id once",
                got=where,
            )
        )


def _parts(line: str) -> tuple[str, str, bool, str]:
    _, _, where, split, kind, said = line.split("\t", 5)
    return where, split, kind == "-", said
