"""Bar 8: the host keeps up with a fast device: decode, check, digest, write, wait for the disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import plain
from benchmarks.bars import Bar, Report
from benchmarks.crossing import count_crossing
from benchmarks.inprocess import WorkerAtHand, job_of, workload
from benchmarks.laws import about_12_s, lengths, prompts
from benchmarks.ragged import FLAC, Encoding, write_ragged
from benchmarks.scale import Scale
from benchmarks.shelf import Shelf
from benchmarks.speech import Speech
from benchmarks.stub import StubDevice, stub_definition
from benchmarks.timing import median_ratio
from benchmarks.usage import COLUMNS, Usage, measured
from featbank.base.processors import usable_processors
from featbank.engine.extract import make_features
from featbank.engine.run import WHAT_FITS
from featbank.numerics import Computing

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "corpora" / "demo"

PLAIN, ENGINE, WHOLE = "plain pipeline", "featbank, a worker", "featbank, `extract`"
HOST_RATE = 5_000.0  # x real time: 6 ms for 30 s
BUSY = 0.95
NUM_DECODERS = usable_processors() + 1  # as many as a worker with a GPU would take

_OTHERS = 0.05  # of the processors' time: with less, what was measured is this process's
_BATCH_S = 120.0


@dataclass(frozen=True, slots=True)
class Turn:
    """One way of taking a corpus to the disk, once.

    Args:
        audio_s: that went through, in seconds.
        usage: what it took.
        busy_s: that the stub of a device was at work.
    """

    audio_s: float
    usage: Usage
    busy_s: float

    @property
    def rate(self) -> float:
        return self.audio_s / self.usage.elapsed_s

    @property
    def busy(self) -> float:
        return self.busy_s / self.usage.elapsed_s


Take = Callable[[Speech, Path, float], Turn]
"""Takes a corpus to an empty folder, with a device of a rate, 0 for one that never waits."""


def measure(shelf: Shelf, scale: Scale) -> Iterator[Report]:
    """Measure the host alone, then beside a device as fast as a fast GPU."""
    source, folder = shelf.audio or DEMO, shelf.folder / "host"
    hour = 3600 * scale.host_hours
    speech = write_ragged(folder / "flac", source, lengths(about_12_s, hour))
    yield _host(folder / "out", speech, scale.host_rounds)
    long = write_ragged(
        folder / "long", source, lengths(about_12_s, hour), duration_s=3600 * scale.stub_hours
    )
    yield _beside_a_device(folder / "out", long, scale.stub_rounds)
    yield _others(folder, source, hour)
    few = write_ragged(folder / "few", source, lengths(about_12_s, hour / 20))
    yield count_crossing(few, folder / "crossing")


def _host(out: Path, speech: Speech, rounds: int) -> Report:
    turns = _in_rounds(out, speech, rounds, 0)
    report = Report(
        f"Host: decode, check, digest, write, fsync; {speech.duration_s / 3600:.1f} h of FLAC of "
        "12 s, 768 float16 a frame",
        ["what", "x real time", "/ plain", *COLUMNS, "others"],
    )
    of_plain = [one.rate for one in turns[PLAIN]]
    for name, ones in turns.items():
        rates = [one.rate for one in ones]
        report.rows.append(
            [name, median(rates), median_ratio(rates, of_plain), *_cells(ones), _others_of(ones)]
        )
    rate, others = median(one.rate for one in turns[ENGINE]), _others_of(turns[ENGINE])
    _bar(report, Bar(f"{ENGINE}, x real time", HOST_RATE, rate), others)
    return report


def _beside_a_device(out: Path, speech: Speech, rounds: int) -> Report:
    report = Report(
        f"A device of {HOST_RATE:,.0f} x real time, that sleeps 6 ms for 30 s; "
        f"{speech.duration_s / 3600:.1f} h of FLAC of 12 s",
        ["what", "busy", "x real time", *COLUMNS, "others"],
    )
    turns = _in_rounds(out, speech, rounds, HOST_RATE)
    for name, ones in turns.items():
        busy, rate = median(one.busy for one in ones), median(one.rate for one in ones)
        report.rows.append([name, busy, rate, *_cells(ones), _others_of(ones)])
        if name == ENGINE:
            bar = Bar(f"the device of {ENGINE} is busy", BUSY, busy)
            _bar(report, bar, _others_of(ones))
    report.notes.append("busy: share of the time, padding of batches is work as well")
    return report


def _others(folder: Path, source: Path, duration_s: float) -> Report:
    """Measure what has no bar: other lengths and formats."""
    report = Report(
        "Host, other audio",
        ["audio", "x real time", f"/ {PLAIN}", *COLUMNS, "others"],
    )
    kinds = (
        ("prompts of 2.7 s", prompts, FLAC),
        ("12 s", about_12_s, Encoding(suffix=".mp3")),
        ("12 s", about_12_s, Encoding(sample_rate=44_100)),
    )
    for number, (what, law, encoding) in enumerate(kinds):
        drawn = lengths(law, duration_s / 6)
        speech = write_ragged(folder / f"other-{number}", source, drawn, encoding, duration_s)
        ours = _turn(_worker, folder / "out", speech, 0)
        theirs = _turn(_plain, folder / "out", speech, 0)
        ratio: Any = ours.rate / theirs.rate
        if encoding.sample_rate != FLAC.sample_rate:
            ratio = "does not resample"
        row = [f"{what}, {encoding}", ours.rate, ratio, *ours.usage.cells, ours.usage.others]
        report.rows.append(row)
    return report


def _bar(report: Report, bar: Bar, others: float) -> None:
    """Add a bar, unless other load had the processors: then it says nothing, and that is said."""
    if others > _OTHERS and not bar.is_met:
        report.notes.append(
            f"skipped, other load had {others:.0%} of the processors: {bar.text} >= "
            f"{bar.bound:g}, {bar.value:.3g} here"
        )
    else:
        report.bars.append(bar)


def _in_rounds(
    out: Path, speech: Speech, rounds: int, device_rate: float
) -> Mapping[str, Sequence[Turn]]:
    """Let everyone take turns; every other round goes backwards, against drift."""
    turns: dict[str, list[Turn]] = {name: [] for name in _TAKES}
    for number in range(rounds):
        names = list(_TAKES) if number % 2 == 0 else list(reversed(_TAKES))
        for name in names:
            turns[name].append(_turn(_TAKES[name], out, speech, device_rate))
    return turns


def _turn(take: Take, out: Path, speech: Speech, device_rate: float) -> Turn:
    out.mkdir()
    try:
        return take(speech, out, device_rate)
    finally:
        shutil.rmtree(out)


def _plain(speech: Speech, out: Path, device_rate: float) -> Turn:
    """Take a corpus through the plain pipeline."""
    device = StubDevice(real_time_factor=device_rate)
    paths = [speech.audio / row.audio for row in speech.rows]
    with measured() as usage:
        plain.extract(paths, out, device, NUM_DECODERS)
    return Turn(speech.duration_s, usage, device.busy_s)


def _worker(speech: Speech, out: Path, device_rate: float) -> Turn:
    """Have a worker make tasks of one shape each, as a run cuts them, into shards that last."""
    runner = WorkerAtHand()
    job = job_of(stub_definition(device_rate), speech, _COMPUTING, runner, out)
    worker = job.make_worker()
    work = workload(worker, speech.rows, _COMPUTING.seconds_together, out / "work")
    with measured() as usage:
        results = worker(work, lambda _: None)
    done = sum(result.tally.num_computed for result in results)
    if done != len(speech.rows):
        raise RuntimeError(f"expected {len(speech.rows)} utterances, got {done}")
    return Turn(speech.duration_s, usage, worker.extractor.busy_s)


def _extract(speech: Speech, out: Path, device_rate: float) -> Turn:
    """Extract a corpus: plan, compute, join shards, publish."""
    runner = WorkerAtHand()
    job = job_of(stub_definition(device_rate), speech, _COMPUTING, runner, out)
    runner.worker = job.make_worker()
    with measured() as usage:
        done = make_features(job, WHAT_FITS)
    if done.tally.num_computed != len(speech.rows):
        raise RuntimeError(f"expected {len(speech.rows)} utterances, got {done.tally}")
    return Turn(speech.duration_s, usage, runner.worker.extractor.busy_s)


_COMPUTING = Computing(batch_s=_BATCH_S, num_decoders=NUM_DECODERS)
_TAKES: Mapping[str, Take] = {PLAIN: _plain, ENGINE: _worker, WHOLE: _extract}


def _cells(turns: Sequence[Turn]) -> list[float]:
    """Return the medians of what turns took."""
    return [median(cells) for cells in zip(*(one.usage.cells for one in turns), strict=True)]


def _others_of(turns: Sequence[Turn]) -> float:
    return median(one.usage.others for one in turns)
