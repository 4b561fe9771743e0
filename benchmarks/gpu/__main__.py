"""Check and measure encoders and codecs on a GPU: `python -m benchmarks.gpu`, within 8 minutes."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.bars import Bar, Report
from benchmarks.gpu.budget import Deadline
from benchmarks.gpu.busy import peak_flops
from benchmarks.gpu.correctness import NUM_ROWS, Checks, correctness
from benchmarks.gpu.models import MODELS, Model
from benchmarks.gpu.rates import Measuring, Rates
from benchmarks.laws import lengths, libri
from benchmarks.ragged import endless, write_ragged
from benchmarks.speech import Speech
from featbank.engine.forecast.rates import MeasuredRate, add_rates, cost_digest, device_name
from featbank.errors import FeatbankError
from featbank.numerics import CPU, CUDA, Computing

ROOT = Path(__file__).parent.parent.parent
DEMO = ROOT / "corpora" / "demo"

_CHECKING = 0.25  # of the time, at most
_OF_BARE = 0.9
# of one model: the others are measured all the same, for the machine may be lent for minutes
_FAILURES = (
    AttributeError, FeatbankError, ImportError, LookupError, OSError, RuntimeError, TypeError,
    ValueError,
)  # fmt: skip
_COLUMNS = (
    "model", "x real time", "goal", "not stored", "own bare forward", "/ that", "reference",
    "/ reference",
)  # fmt: skip
_MORE_COLUMNS = ("model", "busy", "MFU", "MB/s written", "GB of GPU", "h of audio", "batch_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured.

    Args:
        minutes: in all, unless it is said otherwise.
        unique_s: of audio that is written, in seconds.
        speech_s: that it lasts under further names.
        seconds: (shortest, longest) of the utterances that are checked.
        batch_s: computed together; None for what suits the device.
        least_s, most_s: of time for one model.
    """

    minutes: float
    unique_s: float
    speech_s: float
    seconds: tuple[float, float]
    batch_s: float | None
    least_s: float
    most_s: float


FULL = Size(
    minutes=7.5,
    unique_s=3600,
    speech_s=60 * 3600,
    seconds=(8, 16),
    batch_s=None,
    least_s=10.0,  # less would measure its start
    most_s=math.inf,
)
TINY = Size(
    minutes=3.0,
    unique_s=30,
    speech_s=30,
    seconds=(0.9, 2.2),
    batch_s=8.0,
    least_s=0.0,
    most_s=2.0,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, then measure; return 1 when a check or a bar is not met, or a model failed."""
    options = _parser().parse_args(arguments)
    size = TINY if options.tiny else FULL
    deadline = Deadline(60 * (options.minutes or size.minutes))
    if options.device == CUDA and not torch.cuda.is_available():
        sys.exit(
            "--device cuda: expected a GPU that torch can use, got none; or --device cpu --tiny"
        )
    computing = Computing(device=options.device, batch_s=options.batch_s or size.batch_s)
    computing.begin()
    console = Console(width=None if sys.stdout.isatty() else 140)
    with TemporaryDirectory(dir=options.folder, prefix="featbank-gpu-") as folder:
        run = _Run(size, options.tiny, computing, Path(folder), options.audio or DEMO, deadline)
        models = [model for model in MODELS if not options.models or model.option in options.models]
        for step in run.steps(models):
            console.print(f"{step}; {deadline.left_s:.0f} s are left", style="dim")
            if options.json:  # after each, so that nothing is lost
                found = {**run.machine, "reports": [one.to_json() for one in run.reports]}
                options.json.write_text(json.dumps(found, indent=2) + "\n")
            if options.rates and run.rates:
                add_rates(options.rates, run.rates)
    for report in run.reports:
        report.print(console)
    bars = [bar for report in run.reports for bar in report.bars]
    failed = f", {run.num_failed} models failed" if run.num_failed else ""
    console.print(f"{sum(bar.is_met for bar in bars)} of {len(bars)} bars met{failed}")
    return 0 if all(bar.is_met for bar in bars) and not run.num_failed else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", choices=(CUDA, CPU), default=CUDA)
    parser.add_argument("--tiny", action="store_true", help="tiny models and seconds of audio")
    parser.add_argument("--minutes", type=float, help="for everything: 7.5, or 3 of tiny models")
    parser.add_argument("--batch-s", type=float, help="seconds together; else by the device")
    parser.add_argument(
        "--models", nargs="+", choices=[model.option for model in MODELS], help="only these"
    )
    parser.add_argument("--audio", type=Path, metavar="FOLDER", help="speech; else the demo corpus")
    parser.add_argument("--folder", type=Path, help="work here; else in a temporary one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers here")
    parser.add_argument(
        "--rates", type=Path, metavar="FILE", help="add the rates to a table that forecasts read"
    )
    return parser


class _Run:
    """All checks and measurements, each told as a report as soon as it is done.

    Attributes:
        reports: of checks and of rates, which grow.
        rates: for forecasts.
        num_failed: models that ended in an error.
    """

    def __init__(
        self,
        size: Size,
        tiny: bool,
        computing: Computing,
        folder: Path,
        audio: Path,
        deadline: Deadline,
    ) -> None:
        self._size = size
        self._tiny = tiny
        self._computing = computing
        self._folder = folder
        self._audio = audio
        self._deadline = deadline
        self._device = torch.device(computing.device)
        self._correctness = correctness()
        self._measured = Report(
            f"Rates on {device_name(computing.device)}: from audio files to published stores, "
            "ragged speech as in LibriSpeech",
            _COLUMNS,
        )
        self._used = Report("What that took, storage included", _MORE_COLUMNS)
        self.reports = [self._correctness, self._measured, self._used]
        self.rates: list[MeasuredRate] = []
        self.num_failed = 0

    @property
    def machine(self) -> dict[str, object]:
        """What measured, and when."""
        return {
            "date": datetime.now(UTC).date().isoformat(),
            "device": device_name(self._computing.device),
            "cores": os.cpu_count(),
            "processor": platform.processor() or platform.machine(),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "is_tiny": self._tiny,
        }

    def steps(self, models: Sequence[Model]) -> Iterator[str]:
        """Check all models, then measure them; say each time what was done."""
        there = []
        for model in models:
            if model.lacks:
                self._rates_of(model, f"{model.lacks} is not installed")
            else:
                there.append(model.read(tiny=self._tiny))
        checking = self._deadline.part(_CHECKING)
        for model in there:
            yield f"checked {model.option}: {self._check(model, checking)}"
        if not there:
            return
        speech = write_ragged(
            self._folder / "speech",
            self._audio,
            list(lengths(self._law, self._size.unique_s)),
            duration_s=self._size.speech_s,
        )
        decoding = self._decoding(speech)
        for number, model in enumerate(there):
            share = model.share / sum(one.share for one in there[number:])
            yield f"measured {model.option}: {self._measure(model, speech, decoding, share)}"

    def _check(self, model: Model, deadline: Deadline) -> str:
        if deadline.is_over:
            self._correctness.rows.append([model.option, "not checked: no time was left", "", ""])
            self.num_failed += 1
            return "no time was left"
        try:
            utterances = self._ragged(model, self._waveform(model))
            Checks(model, utterances, self._computing).add_to(self._correctness)
        except _FAILURES as error:
            self.num_failed += 1
            self._correctness.rows.append([model.option, "failed", "", ""])
            self._correctness.notes.append(f"{model.option}: {_told(error)}")
            return "failed"
        return "done"

    def _measure(self, model: Model, speech: Speech, decoding: float, share: float) -> str:
        deadline = self._deadline.part(share, self._size.most_s)
        if deadline.left_s < self._size.least_s:
            return self._rates_of(model, "not measured: no time was left")
        folder = self._folder / model.option
        folder.mkdir()
        try:
            found = Measuring(
                model, speech, self._waveform(model), self._computing, folder, deadline
            ).measure()
        except _FAILURES as error:
            self.num_failed += 1
            self._measured.notes.append(f"{model.option}: {_told(error)}")
            return self._rates_of(model, "failed")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self._add(model, found)
        self.rates.append(self._rate(model, found, decoding))
        return "done"

    def _rates_of(self, model: Model, told: str) -> str:
        """Say instead of rates why there are none."""
        self._measured.rows.append([model.option, told, *[""] * (len(_COLUMNS) - 2)])
        return told

    def _add(self, model: Model, found: Rates) -> None:
        """Add a row, and the bars that it is held against."""
        peak, source = peak_flops(self._device, model.precision or "float32")
        self._measured.rows.append(
            [
                model.option, found.stored, model.goal or "none", found.unstored, found.bare,
                found.stored / found.bare, found.reference, found.stored / found.reference,
            ]
        )  # fmt: skip
        self._used.rows.append(
            [
                model.option, found.busy, found.stored * found.flops / peak,
                found.bytes_per_s / 1e6, found.memory_bytes / 1e9, found.audio_s / 3600,
                found.computing.seconds_together,
            ]
        )  # fmt: skip
        self._used.notes.append(
            f"{model.option}: {found.flops / 1e9:.3g} GFLOP a second of audio, unpadded; peak of "
            f"{model.precision or 'float32'} {peak / 1e12:,.3g} TFLOP/s, {source}"
        )
        if self._tiny:
            return
        bars = self._measured.bars
        if model.goal:
            bars.append(Bar(f"{model.option}, x real time", model.goal, found.stored))
        of_bare = found.stored / found.bare
        bars.append(Bar(f"{model.option} / its own bare forward", _OF_BARE, of_bare))

    def _rate(self, model: Model, found: Rates, decoding: float) -> MeasuredRate:
        return MeasuredRate(
            option=model.option,
            extractor=cost_digest(found.extractor),
            device=device_name(self._computing.device),
            machine=f"{os.cpu_count()} cores of {platform.processor() or platform.machine()}",
            date=str(self.machine["date"]),
            batch_s=found.computing.seconds_together,
            num_decoders=found.computing.decoders,
            real_time_factor=found.stored,
            computing_factor=found.bare,
            decoding_factor=decoding,
            stored_bytes_per_s=found.bytes_per_s,
        )

    def _law(self, random: Random) -> float:
        """Draw the length of an utterance."""
        return random.uniform(*self._size.seconds) if self._tiny else libri(random)

    def _waveform(self, model: Model) -> NDArray[np.float32]:
        return endless(self._audio, 24_000 if model.is_codec else 16_000)

    def _ragged(self, model: Model, waveform: NDArray[np.float32]) -> list[torch.Tensor]:
        """Cut a few utterances of various lengths."""
        random, rate = Random(0), 24_000 if model.is_codec else 16_000  # noqa: S311
        drawn = [round(rate * random.uniform(*self._size.seconds)) for _ in range(NUM_ROWS)]
        starts = range(0, NUM_ROWS * rate, rate)
        return [
            torch.from_numpy(waveform[start : start + length])
            for start, length in zip(starts, drawn, strict=True)
        ]

    def _decoding(self, speech: Speech) -> float:
        """Return the rate at which one thread decodes, in seconds of audio a second."""
        rows = speech.rows[:100]
        began = time.perf_counter()
        for row in rows:
            soundfile.read(speech.audio / row.audio, dtype="float32")
        return sum(row.duration_s for row in rows) / (time.perf_counter() - began)


def _told(error: BaseException) -> str:
    """Say what was wrong, in a line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


if __name__ == "__main__":
    sys.exit(main())
