"""The failures of a corpus, sorted on disk, since there may be as many as rows."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from featbank.base.failures import Failure, allowed_failures, over_budget
from featbank.corpora.scratch import Scratch
from featbank.corpora.sorting import SortedLines, sortable
from featbank.errors import AudioFault, BadRowsError, FeatbankError
from featbank.files.json_files import parse_json
from featbank.files.provenance import canonical_json, write_atomic_lines

_OF_ROWS: frozenset[AudioFault] = frozenset(["bad_row", "repeated_id"])


class FailureList:
    """Failures, sorted on disk.

    Args:
        scratch: for what is sorted.
    """

    def __init__(self, scratch: Scratch) -> None:
        self.number = 0
        self._has_bad_rows = False
        self._lines = SortedLines(scratch, "failures")

    def add(self, failure: Failure) -> None:
        """Add a failure."""
        self.number += 1
        self._has_bad_rows |= failure.kind in _OF_ROWS
        self._lines.add(sortable(failure.id), canonical_json(asdict(failure)))

    def write(self, path: Path) -> None:
        """Write them as JSON lines, sorted by id."""
        write_atomic_lines(path, (f"{said}\n".encode() for _, said in self._lines))

    def check_budget(self, *, total: int, max_failures: float, path: Path) -> None:
        """End the run when there are more than it allows, leaving their list at `path`.

        Raises:
            FailureBudgetError: there are; a `BadRowsError` where rows of tables are among them.
        """
        if self.number <= allowed_failures(max_failures, total):
            return
        self.write(path)
        error = over_budget(
            self.number, self._first(), total=total, max_failures=max_failures, path=path
        )
        if self._has_bad_rows:
            raise BadRowsError(error.what, expected=error.expected, got=error.got, hint=error.hint)
        raise error

    def _first(self) -> Failure:
        _, said = next(iter(self._lines))
        return Failure(**parse_json(said, "a failure", FeatbankError))
