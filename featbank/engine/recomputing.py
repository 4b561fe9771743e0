"""Draw a sample of a corpus, and compute it again as the stages do."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from heapq import nsmallest
from itertools import chain, islice, zip_longest
from pathlib import Path

from featbank.base.manifest import Utterance, iterate_manifest, write_manifest
from featbank.base.split_names import split_names
from featbank.engine.run import Budget, Run
from featbank.files.provenance import digest
from featbank.numerics import thread_count


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnSample:
    """Some utterances of a corpus, drawn by chance.

    Args:
        rows: by split.
        seed: that they were drawn by.
    """

    rows: Mapping[str, Sequence[Utterance]]
    seed: int

    @property
    def ids(self) -> dict[str, tuple[str, ...]]:
        """Of the utterances, by split."""
        return {split: tuple(row.id for row in rows) for split, rows in self.rows.items()}

    @property
    def audio_s(self) -> float:
        """How long they are, in seconds."""
        return sum(row.duration_s for rows in self.rows.values() for row in rows)


def draw(manifests: Path, number: int, seed: int) -> DrawnSample:
    """Draw utterances from all splits in turn, by the order of a seeded hash; all if too few.

    Args:
        manifests: folder with a manifest a split.
        number: of utterances, over all splits.
        seed: of the hash.

    Raises:
        ManifestError: a manifest is missing or malformed.
    """
    splits = split_names(manifests)
    ranked = [
        [
            (split, row)
            for row in nsmallest(
                number,
                iterate_manifest(manifests / f"{split}.jsonl"),
                key=lambda row: digest([seed, row.id]),
            )
        ]
        for split in splits
    ]
    in_turn = filter(None, chain.from_iterable(zip_longest(*ranked)))
    drawn = list(islice(in_turn, number))
    rows = {split: [row for found, row in drawn if found == split] for split in splits}
    return DrawnSample(rows=rows, seed=seed)


@contextmanager
def recomputed(
    compute: Callable[[Run, Path], object], run: Run, rows: Mapping[str, Sequence[Utterance]]
) -> Iterator[Path]:
    """Compute a sample, and give the folder of its stores until the `with` block ends.

    Args:
        compute: makes the stores of a run in a folder, such as `extract`.
        run: of the whole corpus; its work folder takes everything.
        rows: by split; all of them may fail, which is for who compares to judge.
    """
    run.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=run.work) as name:
        folder = Path(name)
        for split, of_split in rows.items():
            write_manifest(folder / "manifests" / f"{split}.jsonl", of_split)
        budget = Budget(
            max_failures=max(1, sum(map(len, rows.values()))), path=folder / "failures.jsonl"
        )
        sampled = replace(run.of_sample(folder / "manifests", folder / "work"), budget=budget)
        # a runner in this process leaves it with the threads of a worker
        with thread_count(run.computing.num_threads):
            compute(sampled, folder / "stores")
        yield folder / "stores"
