"""A sample of a corpus, drawn and computed again as the stages do it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from heapq import nsmallest
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any

from featbank.base.manifest import SPLITS, Utterance, iterate_manifest, write_manifest
from featbank.files.provenance import digest
from featbank.numerics import ON_CPU, thread_count

Sample = Mapping[str, Sequence[Utterance]]
"""Utterances by split."""


def draw(manifests: Path, number: int, seed: int) -> Sample:
    """Draw utterances from all splits in turn, by the order of a seeded hash; all if too few.

    Args:
        manifests: folder with a manifest a split.
        number: of utterances, over all splits.
        seed: of the hash.

    Raises:
        ManifestError: a manifest is missing or malformed.
    """
    ranked = [
        [
            (split, row)
            for row in nsmallest(
                number,
                iterate_manifest(manifests / f"{split}.jsonl"),
                key=lambda row: digest([seed, row.id]),
            )
        ]
        for split in SPLITS
    ]
    in_turn = filter(None, chain.from_iterable(zip_longest(*ranked)))
    drawn = list(islice(in_turn, number))
    return {split: [row for found, row in drawn if found == split] for split in SPLITS}


@contextmanager
def recomputed(
    compute: Callable[..., object], sample: Sample, work: Path, settings: Mapping[str, Any]
) -> Iterator[Path]:
    """Compute a sample, and give the folder of its stores until the `with` block ends.

    Args:
        compute: `extract` or `tokenize_audio`.
        sample: all of it may fail, which is for who compares to judge.
        work: folder that takes everything.
        settings: of `compute`, but for the manifests, the output and the budget.
    """
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work) as folder:
        manifests, out = Path(folder, "manifests"), Path(folder, "stores")
        for split, rows in sample.items():
            write_manifest(manifests / f"{split}.jsonl", rows)
        here = {
            "manifests": manifests,
            "out": out,
            "work": Path(folder, "work"),
            "failures_path": Path(folder, "failures.jsonl"),
            "max_failures": max(1, sum(map(len, sample.values()))),
        }
        # a runner in this process leaves it with the threads of a worker
        with thread_count(settings.get("computing", ON_CPU).num_threads):
            compute(**{**settings, **here})
        yield out
