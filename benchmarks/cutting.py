"""Bar 9: work is cut so that nobody waits: tasks by minutes of audio, batches of one shape."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

from benchmarks.bars import Bar, Report
from benchmarks.inprocess import job_of
from benchmarks.laws import LAWS, lengths
from benchmarks.noting import NotingRunner
from benchmarks.padding import waste_of_window
from benchmarks.scale import Scale
from benchmarks.shelf import Shelf
from benchmarks.speech import SAMPLE_RATE, write_speech
from benchmarks.stub import SleepingStub
from featbank.base.components import ComponentConfig
from featbank.engine.definition import FeatureDefinition
from featbank.engine.extract import make_features
from featbank.engine.run import WHAT_FITS
from featbank.feature_io import PackedStorage
from featbank.numerics import ON_CPU
from featbank.runners.local import LocalRunner

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "corpora" / "demo"

NUM_WORKERS = 2
BATCHES_S = (480, 120)
_WASTE, _OF_IDEAL = 0.10, 1.1


def measure(shelf: Shelf, scale: Scale) -> Iterator[Report]:
    """Share out one shard to two workers; form batches of the lengths of three corpora."""
    yield _two_workers(shelf.folder / "cut", scale.cut_rate)
    yield _waste(scale.window_hours)


def _two_workers(folder: Path, rate: float) -> Report:
    """Extract the demo corpus, which is one shard, with an extractor that sleeps."""
    speech = write_speech(folder / "speech", DEMO)
    runner = NotingRunner(LocalRunner(num_workers=NUM_WORKERS), folder / "notes")
    target = f"{SleepingStub.__module__}.{SleepingStub.__qualname__}"
    definition = FeatureDefinition(
        name="stub",
        extractor=ComponentConfig(target, {"real_time_factor": rate}),
        storage=[PackedStorage("stub", "float16", shard_bytes=1 << 28)],
        trusted_modules=[SleepingStub.__module__.partition(".")[0]],
    )
    make_features(job_of(definition, speech, ON_CPU, runner, folder / "out"), WHAT_FITS)
    ended = time.monotonic()
    notes = runner.notes()
    work_s = speech.duration_s / rate
    elapsed_s = ended - fmean(note.ready for note in notes)
    ideal_s = work_s / NUM_WORKERS
    report = Report(
        f"Two workers: the demo corpus in one shard, {len(speech.rows)} utterances, "
        f"{work_s:.1f} s of sleep",
        ["workers that had tasks", "s", "ideal s", "/ ideal"],
        rows=[[len(notes), elapsed_s, ideal_s, elapsed_s / ideal_s]],
        notes=["from when the workers were ready, on average, until the stores are published"],
    )
    report.bars = [Bar("two workers / the ideal", _OF_IDEAL, elapsed_s / ideal_s, at_most=True)]
    return report


def _waste(hours: float) -> Report:
    report = Report(
        f"Padding and empty rows: {hours:g} h in batches of one shape",
        ["lengths as in", *(f"batch_s {batch_s}" for batch_s in BATCHES_S)],
    )
    for name, law in LAWS.items():
        drawn = list(lengths(law, 3600 * hours))
        found = [waste_of_window(drawn, SAMPLE_RATE, batch_s) for batch_s in BATCHES_S]
        report.rows.append([name, *found])
        report.bars.append(
            Bar(f"padding and empty rows, {name},", _WASTE, max(found), at_most=True)
        )
    return report
