"""Bar: the report of a large corpus and many choices is small, and costs what its choices cost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks.bars import Bar, Report
from benchmarks.fresh import in_fresh_process, memory_mb
from benchmarks.scale import Scale
from benchmarks.shelf import Shelf
from featbank.audio import scan_audio
from featbank.base.failure_kinds import failures_by_kind
from featbank.base.failures import Failure, iterate_failures, write_failures
from featbank.base.manifest import Utterance, write_manifest
from featbank.errors import AudioFault
from featbank.quality.result import (
    AbxScore,
    PhoneDiscrimination,
    SpeakerProbe,
    StoreQuality,
    UnitNgram,
)
from featbank.report.clips import ClipPlan, read_clips
from featbank.report.page import write_report
from featbank.stability.result import DisturbedTokens, Flips, Stability
from featbank.validation.agreement import Agreement, LabelCheck
from featbank.validation.confusion import UnitConfusion
from featbank.validation.inertia import HeldOutInertia, SplitInertia
from featbank.validation.result import (
    CheckResult,
    LengthHistogram,
    StoreCheck,
    read_check,
    write_check,
)
from featbank.validation.scan import make_example
from featbank.validation.usage import CodebookUsage

RATE, SECONDS, FRAME_RATE = 16_000, 12, 50
SPLITS = {"train": 0.8, "dev": 0.1, "test": 0.1}
SHOWN = "{split}/zz"  # the last of its manifest
SPEECH = (
    Path(__file__).parents[1] / "corpora" / "demo" / "allison_en" / "confbridge-lock-extended.flac"
)
SIZES = (100, 500, 2000)
NUM_TOKENS, NUM_CODES = 28, 2
PHONES = ["sil", *(f"{phone}{stress}" for phone in ("aa", "ae", "eh", "iy", "ow", "uw", "er", "ah",
          "ay", "aw", "ey", "ih", "oy", "uh") for stress in "012")]  # fmt: skip
DISTURBANCES = {
    "dither": "noise of one step",
    "shift": "10 ms earlier",
    "gain": "-6 dB, half as loud",
}


def measure(shelf: Shelf, scale: Scale) -> list[Report]:
    """Make the page of a large corpus and that of a small one, from the files of their checks."""
    rows, cells = {}, []
    for number in (scale.manifest_rows // 1000, scale.manifest_rows):
        folder = shelf.folder / "reporting" / str(number)
        write_inputs(folder, number)
        rows[number] = in_fresh_process(_make, folder)
        page_s, peak_mb, num_bytes = rows[number]
        cells.append([f"{number:,} utterances", page_s, peak_mb, num_bytes / 1e6])
    (few_s, _, _), (many_s, many_mb, many_bytes) = rows.values()
    return [
        Report(
            f"A report: {NUM_TOKENS + NUM_CODES} stores of tokens and 4 of features, 3 splits, "
            "a tenth of the utterances failed",
            ["", "CPU seconds", "peak MB", "page MB"],
            rows=cells,
            bars=[
                Bar("the page", 2, many_bytes / 1e6, at_most=True, unit=" MB"),
                Bar("peak of resident memory", 600, many_mb, at_most=True, unit=" MB"),
                Bar("CPU time of a thousand times the utterances", 2, many_s / few_s, at_most=True),
            ],
        )
    ]


def write_inputs(folder: Path, num_utterances: int) -> None:
    """Write what the stage reads: checks, manifests, a failure list and audio."""
    random = np.random.default_rng(0)
    (folder / "manifests").mkdir(parents=True)
    speech, _ = soundfile.read(SPEECH)
    soundfile.write(folder / "a.flac", np.resize(speech, SECONDS * RATE), RATE)
    digest = scan_audio(folder / "a.flac").digest
    for split, share in SPLITS.items():
        ids = [f"{split}/u{n:08}" for n in range(int(num_utterances * share))]
        write_manifest(
            folder / "manifests" / f"{split}.jsonl",
            (
                Utterance(
                    id=name,
                    audio="a.flac",
                    audio_digest=digest,
                    sample_rate=RATE,
                    start_sample=0,
                    num_samples=SECONDS * RATE,
                    channel=0,
                    speaker=name[-3:],
                    language="en",
                    text="about as many words as are said in twelve seconds of read speech",
                )
                for name in [*ids, SHOWN.format(split=split)]
            ),
        )
    write_failures(folder / "failures.jsonl", _failures(num_utterances // 10))
    (folder / "checks").mkdir()
    for number, result in enumerate(choices(num_utterances, random)):
        write_check(result, folder / "checks" / f"{number:02}.json")


def choices(num_utterances: int, random: np.random.Generator) -> Iterator[CheckResult]:
    """Give the checks of all choices, as `validate` shapes them."""
    for name, shape in {"fbank": 80, "mfcc": 39, "hubert": 768, "wavlm": 1024}.items():
        yield _choice(f"features/{name}", name, num_utterances, random, [shape], None)
    for number in range(NUM_TOKENS):
        name, size = f"tokens/hubert-base-ls960-layer{number:02}", SIZES[number % len(SIZES)]
        yield _choice(f"{name}-kmeans{size}", "units", num_utterances, random, [], size)
    for number in range(NUM_CODES):
        yield _choice(f"features/codec{number}", "codes", num_utterances, random, [8], 1024)


def _choice(
    name: str,
    store: str,
    num_utterances: int,
    random: np.random.Generator,
    shape: list[int],
    size: int | None,
) -> CheckResult:
    counts = [int(num_utterances * share) for share in SPLITS.values()]
    checks = [
        _store(store, split, count, random, shape, size)
        for split, count in zip(SPLITS, counts, strict=True)
    ]
    return CheckResult(
        name=name,
        stores=tuple(checks),
        lengths=LengthHistogram(
            bin_s=0.5,
            counts={
                split: tuple(random.multinomial(count, [1 / 40] * 40).tolist())
                for split, count in zip(SPLITS, counts, strict=True)
            },
        ),
        inertia=_inertia(random) if size and not shape else None,
        quality=(_quality(store, random, is_tokens=size is not None),),
    )


def _store(
    name: str,
    split: str,
    count: int,
    random: np.random.Generator,
    shape: list[int],
    size: int | None,
) -> StoreCheck:
    frames, failed = SECONDS * FRAME_RATE, count // 10
    kept = count - failed
    header = _header(name, shape, size)
    check = StoreCheck(
        name=name, split=split, header=header, num_expected=count, num_utterances=kept,
        num_frames=kept * frames, num_bytes=kept * frames * 2, num_shards=1 + kept // 10_000,
        num_failures=failed, audio_s=float(kept * SECONDS), minimum=-9.25, maximum=12.5,
        failures=failures_by_kind(_failures(failed)),
    )  # fmt: skip
    shown = SHOWN.format(split=split)
    if size is None:
        values = random.standard_normal((frames, *shape)).astype(np.float32)
        return replace(check, mean=0.1, std=1.2, example=make_example(shown, values))
    usage = tuple(_usage(size, kept, random) for _ in range(shape[0] if shape else 1))
    joint = random.gamma(0.05, kept, (len(PHONES), size)).astype(np.int64)
    joint += 1
    agreement = Agreement.of(joint)
    values = random.integers(0, size, (frames // 6, *shape)).repeat(6, axis=0)
    return replace(
        check, codebooks=usage, example=make_example(shown, values, codes=bool(shape)),
        confusion=UnitConfusion.of(PHONES, joint),
        labels=LabelCheck(num_labels=len(PHONES), num_frames=kept * frames, num_unlabelled=7,
                          codebooks=(agreement,) * len(usage)),
    )  # fmt: skip


def _header(name: str, shape: list[int], size: int | None) -> dict[str, Any]:
    arguments = {f"argument_{number}": number for number in range(30)}
    versions = dict.fromkeys(("featbank", "numpy", "soundfile", "torch", "soxr"), "1.2.3")
    return {
        "name": name,
        "dtype": "uint16" if size else "float16",
        "shape": shape,
        "frame_rate": float(FRAME_RATE),
        "first_frame_center_s": 0.0125,
        "framing": {"sample_rate": RATE, "window_length": 400, "hop_length": 320,
                    "snip_edges": True},
        "fingerprint": "f" * 64,
        "numerics": [{"device": "cuda", "threads": 1, "torch": "2.14.1", "variables": {}}] * 4,
        "provenance": {"extractor": arguments, "versions": versions,
                       "weights": {"source": "hf:facebook/hubert-base-ls960", "digest": "d" * 64,
                                   "license": "Apache-2.0"},
                       "corpus": {"name": "large", "license": "CC0-1.0"}},
    }  # fmt: skip


def _usage(size: int, count: int, random: np.random.Generator) -> CodebookUsage:
    frames = (random.gamma(0.5, count, size)).astype(np.int64)
    return CodebookUsage(frames=tuple(frames.tolist()), runs=tuple((frames // 2).tolist()))


def _inertia(random: np.random.Generator) -> HeldOutInertia:
    return HeldOutInertia(
        fitted=1197.7,
        splits={
            split: SplitInertia(
                num_utterances=50, num_frames=30_000, mean_squared_distance=random.uniform(900, 1e3)
            )
            for split in ("dev", "test")
        },
    )


def _quality(name: str, random: np.random.Generator, *, is_tokens: bool) -> StoreQuality:
    score = AbxScore(error_rate=float(random.uniform(0.05, 0.3)), num_cells=6_018, num_pairs=998)
    return StoreQuality(
        name=name,
        abx=PhoneDiscrimination(
            within=score, across=score, by_context=False, num_segments=33_500, num_left_out=104
        ),
        ngram=UnitNgram(
            order=3, num_trained=296_600, num_held_out=21_410, bits_per_unit=5.2,
            bitrate=float(random.uniform(90, 300)), bitrate_of_frames=308.6,
        ) if is_tokens else None,
        speakers=SpeakerProbe(
            accuracy=float(random.uniform(0.4, 1)), chance=0.28, num_speakers=251, num_fitted=7_500,
            num_asked=2_500,
        ),
        absent={} if is_tokens else {"ngram": "only units have an n-gram"},
    )  # fmt: skip


def stability_of(result: CheckResult) -> Stability:
    """Return how a choice's tokens take disturbances."""
    by_kind = {
        kind: DisturbedTokens(
            told=told, num_utterances=50, num_frames=30_000, flip_rate=0.1,
            unit_edit_distance=0.05, codebooks=(Flips(flip_rate=0.1, unit_edit_distance=0.05),),
        )
        for kind, told in DISTURBANCES.items()
    }  # fmt: skip
    name = result.stores[0].name
    return Stability(
        name=result.name, seed=0, corpus="c", sample={}, fingerprints={name: "f" * 64},
        stores={name: by_kind},
    )  # fmt: skip


def _failures(number: int) -> Iterator[Failure]:
    kinds: tuple[AudioFault, ...] = ("truncated", "missing", "damaged", "too_short", "no_samples")
    for n in range(number):
        yield Failure(
            id=f"train/{n:08}",
            audio=f"train/{n:08}.flac",
            kind=kinds[n % len(kinds)],
            error="the file ends before its samples do",
            expected="192,000 samples",
            got="161,280",
        )


def _make(folder: Path) -> tuple[float, float, int]:
    """Do what the stage does; return seconds of CPU, peak of memory in MB, bytes of the page."""
    begin = time.process_time()
    results = [read_check(path) for path in sorted((folder / "checks").iterdir())]
    sizes = {one.split: one for one in results[0].stores}
    corpus = {
        "name": "large",
        "license": "CC0-1.0",
        "num_failures": sum(one.num_failures for one in sizes.values()),
        "splits": {
            split: {"utterances": one.num_expected, "hours": one.audio_s / 3600, "speakers": 1000}
            for split, one in sizes.items()
        },
    }
    plan = ClipPlan(
        manifests=folder / "manifests", root=str(folder), license="CC0-1.0", number=3, max_s=5,
        unheard=(),
    )  # fmt: skip
    path = write_report(
        results,
        corpus,
        folder / "report",
        {one.name: stability_of(one) for one in results if one.stores[0].codebooks},
        clips=read_clips(results, plan),
        failed=failures_by_kind(iterate_failures(folder / "failures.jsonl")),
    )
    return time.process_time() - begin, memory_mb("VmHWM"), path.stat().st_size
