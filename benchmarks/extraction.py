"""Bar 7: extraction, from audio files to published stores."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks.bars import Bar, Report
from benchmarks.coordinating import cut, write_rows
from benchmarks.encoder import BareEncoder, FeatbankEncoder
from benchmarks.extracting import Extracting, Run, run
from benchmarks.extraction_ours import Featbank, KaldiFloor
from benchmarks.extraction_peers import PEERS
from benchmarks.fresh import in_fresh_process
from benchmarks.scale import Scale
from benchmarks.shelf import Shelf
from benchmarks.speech import Speech, write_speech

ROOT = Path(__file__).parent.parent
CONF, DEMO = ROOT / "conf", ROOT / "corpora" / "demo"

_WARMING_S = 5.0

Runs = Mapping[str, Sequence[Run]]
"""Of each contender, one a round, in the order of the rounds."""


def measure(shelf: Shelf, scale: Scale) -> Iterator[Report]:
    """Extract filterbanks and an encoder's layer; look at memory and at the start of a run."""
    source = shelf.audio or DEMO
    folder = shelf.folder / "speech"
    demo = write_speech(folder / "demo", DEMO)
    few = write_speech(folder / "few", DEMO, _WARMING_S)
    kinds: list[type[Extracting]] = [KaldiFloor, Featbank, BareEncoder, FeatbankEncoder, *PEERS]
    for kind in kinds:
        # what happens once, such as bytecode, is not measured; of one round nothing is judged
        if kind.is_installed() and scale.extraction_rounds > 1:
            _turn(shelf.folder / "extraction", kind, few)
    speech = write_speech(folder / "long", source, 3600 * scale.speech_hours)
    shorter = write_speech(folder / "short", source, 3600 * scale.short_hours)
    fbank, runs = _fbank(shelf, scale, speech, shorter)
    yield fbank
    ten_minutes = write_speech(folder / "encoder", source, 60 * scale.encoder_minutes)
    yield _encoder(shelf, scale, ten_minutes)
    yield _memory(shelf, scale, speech, runs)
    yield _start(shelf, scale, demo)


def _fbank(shelf: Shelf, scale: Scale, speech: Speech, shorter: Speech) -> tuple[Report, Runs]:
    peers = [kind for kind in PEERS if kind.is_installed()]
    turns = [(kind, shorter if kind.is_slow else speech) for kind in (KaldiFloor, Featbank, *peers)]
    runs = _in_rounds(shelf, turns, scale.extraction_rounds)
    ours, floor = runs[Featbank.name], runs[KaldiFloor.name]
    report = Report(
        f"Extraction: 80 mel bins, {speech.duration_s / 3600:.1f} h in {len(speech.rows):,} files",
        ["what", "x real time", "/ floor", "with start-up", "that / floor", "hours"],
    )
    for kind, given in turns:
        ones = runs[kind.name]
        report.rows.append(
            [
                kind.name,
                median(one.rate for one in ones),
                _ratio(ones, floor),
                median(one.rate_from_start for one in ones),
                _ratio(ones, floor, from_start=True),
                given.duration_s / 3600,
            ]
        )
    report.rows += [
        [kind.name, "not installed", "", "", "", ""] for kind in PEERS if kind not in peers
    ]
    report.bars = [
        Bar("featbank without start-up / floor without", 1.6, _ratio(ours, floor)),
        Bar("featbank with start-up / floor without", 1.4, _ratio(ours, floor, from_start=True)),
    ]
    if peers:
        least = {kind.name: _ratio(ours, runs[kind.name]) for kind in peers}
        best = min(least, key=lambda name: least[name])
        report.bars.append(Bar(f"featbank / the best peer, {best},", 1.0, least[best]))
    shards = ours[0].work.details["num_shards"]
    report.notes = [
        "/ floor: to the floor's rate without start-up; medians of the ratios within rounds",
        f"featbank wrote {shards} shards, which its workers share out",
        _load(),
    ]
    return report, runs


def _encoder(shelf: Shelf, scale: Scale, speech: Speech) -> Report:
    kinds: list[type[Extracting]] = [BareEncoder, FeatbankEncoder]
    runs = _in_rounds(shelf, [(kind, speech) for kind in kinds], scale.encoder_rounds)
    bare = runs[BareEncoder.name]
    report = Report(
        f"Encoder: WavLM base, 94 M random weights, {speech.duration_s / 60:.1f} min",
        ["what", "x real time", "/ bare", "peak MB of a worker"],
    )
    for name, ones in runs.items():
        peak = max(one.work.details["worker_mb"] for one in ones)
        report.rows.append([name, median(one.rate for one in ones), _ratio(ones, bare), peak])
    report.bars = [
        Bar("featbank / bare forward", 0.95, _ratio(runs[FeatbankEncoder.name], bare)),
    ]
    report.notes = [_load()]
    return report


def _memory(shelf: Shelf, scale: Scale, speech: Speech, runs: Runs) -> Report:
    details = [one.work.details for one in runs[Featbank.name]]
    report = Report(
        "Memory: peaks of resident memory",
        ["what", "MB", "of which before the first row"],
        rows=[
            [f"coordinator, {len(speech.rows):,} files", _most(details, "coordinator_mb"), ""],
            [f"a worker, {len(speech.rows):,} files", _most(details, "worker_mb"), ""],
        ],
    )
    manifest = shelf.folder / "rows.jsonl"
    for num_rows in (scale.manifest_rows // 10, scale.manifest_rows):
        write_rows(manifest, num_rows)
        before, after, num_shards, elapsed_s = in_fresh_process(cut, manifest)
        what = f"manifest of {num_rows:,} rows cut into {num_shards:,} shards"
        report.rows.append([what, after, before])
        report.notes.append(f"{what}: {elapsed_s:.1f} s")
    manifest.unlink()
    report.notes.append("a manifest is only cut, nothing computed: what a coordinator keeps of it")
    return report


def _start(shelf: Shelf, scale: Scale, demo: Speech) -> Report:
    runs = _in_rounds(shelf, [(Featbank, demo)], scale.extraction_rounds)[Featbank.name]
    ready = [one.work.began - one.started for one in runs]
    first_shard = [one.work.details["first_shard"] - one.started for one in runs]
    return Report(
        f"Start: the demo corpus, {len(demo.rows)} files, {demo.duration_s:.0f} s in one shard",
        ["from the start of the process to", "seconds"],
        rows=[
            ["the first worker has its extractor", median(ready)],
            ["the first shard is in the work folder", median(first_shard)],
            ["the end of the process", median(one.elapsed_s for one in runs)],
        ],
    )


def _in_rounds(shelf: Shelf, turns: Sequence[tuple[type[Extracting], Speech]], rounds: int) -> Runs:
    """Let everyone extract in each round; every other round goes backwards, against drift."""
    runs: dict[str, list[Run]] = {kind.name: [] for kind, _ in turns}
    for number in range(rounds):
        for kind, speech in turns if number % 2 == 0 else reversed(turns):
            runs[kind.name].append(_turn(shelf.folder / "extraction", kind, speech))
    return runs


def _turn(out: Path, kind: type[Extracting], speech: Speech) -> Run:
    os.sync()
    try:
        return run(kind, speech, out)
    finally:
        shutil.rmtree(out, ignore_errors=True)


def _ratio(ones: Sequence[Run], others: Sequence[Run], *, from_start: bool = False) -> float:
    """Return the median of the ratios within rounds; the others' rates are without start-up."""
    return median(
        (one.rate_from_start if from_start else one.rate) / other.rate
        for one, other in zip(ones, others, strict=True)
    )


def _load() -> str:
    """Say how busy the machine was, for these bars want all of its processors."""
    return f"load average over the last 15 minutes, this included: {os.getloadavg()[2]:.1f}"


def _most(details: Sequence[Mapping[str, float]], name: str) -> float:
    return max(one[name] for one in details)
