"""Bar 9: work is cut so that nobody waits: tasks by minutes of audio, batches of one shape."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import yaml

from benchmarks.bars import Bar, Report
from benchmarks.inprocess import job_of
from benchmarks.laws import LAWS, lengths
from benchmarks.noting import NotingRunner
from benchmarks.padding import waste_of_window
from benchmarks.scale import Scale
from benchmarks.shelf import Shelf
from benchmarks.speech import SAMPLE_RATE, Speech, write_speech
from benchmarks.stub import SleepingStub, stub_definition
from featbank.base.components import ComponentConfig
from featbank.base.manifest import Utterance, write_manifest
from featbank.engine.definition import FeatureDefinition
from featbank.engine.extract import make_features
from featbank.engine.run import WHAT_FITS
from featbank.feature_io import read_storage
from featbank.numerics import ON_CPU
from featbank.runners.local import LocalRunner

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "corpora" / "demo"

NUM_WORKERS = 2
BATCHES_S = (480, 120)
CONF = ROOT / "conf" / "feature"

_WASTE, _OF_IDEAL = 0.10, 1.1
_TASKS_AN_HOUR, _LOST_S = 0.5, 600.0  # 500 of 1,000 h; what a worker that is killed loses
_UTTERANCE_S = 10.0


def measure(shelf: Shelf, scale: Scale) -> Iterator[Report]:
    """Share out one shard to two workers; form batches of the lengths of three corpora."""
    yield _two_workers(shelf.folder / "cut", scale.cut_rate)
    yield _tasks(shelf.folder / "tasks", scale.cut_hours)
    yield _waste(scale.window_hours)


def _two_workers(folder: Path, rate: float) -> Report:
    """Extract the demo corpus, which is one shard, with an extractor that sleeps."""
    speech = write_speech(folder / "speech", DEMO)
    runner = NotingRunner(LocalRunner(num_workers=NUM_WORKERS), folder / "notes")
    definition = stub_definition(rate, SleepingStub)
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


def _tasks(folder: Path, hours: float) -> Report:
    """Cut a corpus of 10 s utterances for Mimi, as a run does before anything is computed."""
    manifests = folder / "manifests"
    num_rows = round(3600 * hours / _UTTERANCE_S)
    write_manifest(manifests / "train.jsonl", map(_row, range(num_rows)))
    settings = yaml.safe_load((CONF / "mimi.yaml").read_text(encoding="utf-8"))
    definition = FeatureDefinition(
        name="mimi",
        extractor=ComponentConfig.of({**settings["extractor"], "weights": "random"}),
        storage=read_storage(settings["storage"]),
    )
    speech = Speech(folder, [])
    job = job_of(definition, speech, ON_CPU, LocalRunner(num_workers=NUM_WORKERS), folder / "out")
    plan = job.plan()
    missing = (task for task, there in plan if there is None)
    windows = [
        (list(window.workloads), window.shards) for window in job.cutter(plan).windows(missing)
    ]
    tasks = [task for workloads, _ in windows for work in workloads for task in work.tasks]
    audio_s = [sum(row.duration_s for row in task.rows) for task in tasks]
    report = Report(
        f"Tasks: {hours:g} h of Mimi in utterances of 10 s, {NUM_WORKERS} workers",
        ["shards of the store", "tasks", "longest task, s of audio", "shortest"],
        rows=[[sum(len(shards) for _, shards in windows), len(tasks), max(audio_s), min(audio_s)]],
    )
    report.bars = [
        Bar("tasks an hour of audio", _TASKS_AN_HOUR, len(tasks) / hours),
        Bar("the longest task, of audio", _LOST_S, max(audio_s), at_most=True, unit=" s"),
    ]
    return report


def _row(number: int) -> Utterance:
    return Utterance(
        id=f"{number:07}", audio="x.flac", audio_digest=f"md5:{number:032x}", sample_rate=24_000,
        num_samples=round(24_000 * _UTTERANCE_S),
    )  # fmt: skip


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
