"""How many bytes leave a device: of features as they are stored, of units when tokens are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bars import Bar, Report
from benchmarks.inprocess import WorkerAtHand, job_of, workload
from benchmarks.speech import Speech
from benchmarks.stub import WIDTH, stub_definition
from featbank.engine.device.reduction import FeatureReduction, Reduced, TokenReduction
from featbank.engine.job import Job
from featbank.engine.rows import num_frames
from featbank.engine.tokenize_audio import FeatureTokens, token_job
from featbank.numerics import Computing
from featbank.tokenizers.codebook import Codebook
from featbank.tokenizers.token_stores import TokenStores

NUM_CENTROIDS = 500

_OF_FEATURES = 0.02
_COMPUTING = Computing(batch_s=30.0)


def count_crossing(speech: Speech, out: Path) -> Report:
    """Compute a corpus once into features and once into tokens, and count what leaves the device.

    Args:
        speech: the corpus.
        out: empty folder for what is stored.
    """
    runner = WorkerAtHand()
    features = job_of(stub_definition(0.0), speech, _COMPUTING, runner, out)
    fitted_on = {"feature_fingerprint": features.definition.fingerprints["stub"]}
    centroids = np.random.default_rng(0).standard_normal((NUM_CENTROIDS, WIDTH), np.float32)
    codebook = Codebook(centroids=centroids, provenance={"fitted_on": fitted_on})
    tokens = token_job(
        features.run,
        out / "tokens",
        FeatureTokens(feature="stub", stores=TokenStores(codebook=codebook)),
    )
    frames = sum(num_frames(row, features.extractor.framing) for row in speech.rows)
    found = [_bytes(job, speech, out / "work") / frames for job in (features, tokens)]
    return Report(
        f"What leaves the device: {WIDTH} float16 a frame, or a unit of {NUM_CENTROIDS}",
        ["stored", "bytes a frame", "/ features"],
        rows=[
            ["features", found[0], 1],
            ["units", found[1], found[1] / found[0]],
        ],
        bars=[Bar("units / features, bytes", _OF_FEATURES, found[1] / found[0], at_most=True)],
    )


def _bytes(job: Job, speech: Speech, work: Path) -> int:
    """Compute a corpus; return the bytes that left the device."""
    worker = job.make_worker()
    with _counting() as crossed:
        results = worker(
            workload(worker, speech.rows, _COMPUTING.seconds_together, work), lambda _: None
        )
    if sum(result.tally.num_computed for result in results) != len(speech.rows):
        raise RuntimeError(f"expected {len(speech.rows)} utterances, got {results}")
    return sum(crossed)


@contextmanager
def _counting() -> Iterator[list[int]]:
    """Note the bytes of what of each batch is for the host: a GPU's are fetched from it."""
    crossed: list[int] = []
    kinds: tuple[Any, ...] = (FeatureReduction, TokenReduction)
    before = [kind.reduce for kind in kinds]

    def counted(reduce: Callable[..., Reduced], *given: Any) -> Reduced:
        reduced = reduce(*given)
        crossed.extend(tensor.nbytes for tensor in reduced.leaving.values())
        return reduced

    for kind, reduce in zip(kinds, before, strict=True):
        kind.reduce = lambda *given, reduce=reduce: counted(reduce, *given)
    try:
        yield crossed
    finally:
        for kind, reduce in zip(kinds, before, strict=True):
            kind.reduce = reduce
