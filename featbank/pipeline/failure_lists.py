"""Where the lists of what failed lie, for the closing lines of a stage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from featbank.store.format import FAILURES_NAME


def told_failures(out: Path) -> Iterator[str]:
    """Yield a line for each split that has failures: how many, and where they are listed.

    Args:
        out: holds stores as `<name>/<split>`; those of a split have the same failures.
    """
    lists = {path.parent.name: path for path in sorted(out.glob(f"*/*/{FAILURES_NAME}"))}
    for split, path in lists.items():
        with path.open("rb") as lines:
            number = sum(1 for line in lines if line.strip())
        if number:
            yield f"{split}: {number:,} {'failure is' if number == 1 else 'failures are'} in {path}"
