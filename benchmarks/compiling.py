"""What `torch.compile` makes of an extractor: its rate, its last bits, and what it takes before.

    python -m benchmarks.compiling conf/feature/whisper_tiny_en.yaml corpora/demo weights=random

Utterances are computed alone, as on the CPU; shapes are dynamic, for every length is another.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import soundfile
import torch
import yaml

from featbank.audio import load_audio
from featbank.base.building import build
from featbank.features.utterance_extractor import UtteranceExtractor

NUM_UTTERANCES, SHORTEST_S, LONGEST_S = 4, 2.0, 6.0
ROUNDS = 3

Compute = Callable[[torch.Tensor], Mapping[str, torch.Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What compiling changed.

    Args:
        ratio: of the rates, compiled over eager: the median of the rounds.
        first_s: seconds until all utterances were computed for the first time.
        max_difference: of any value.
    """

    ratio: float
    first_s: float
    max_difference: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what compiling changes for one config."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("config", type=Path, help="of an encoder or a codec, in conf/feature/")
    parser.add_argument("audio", type=Path, help="a folder with mono FLAC files")
    parser.add_argument(
        "options",
        nargs="*",
        metavar="option=value",
        help="of the extractor, such as weights=random",
    )
    parser.add_argument("--device", default="cpu")
    parsed = parser.parse_args(arguments)
    settings = yaml.safe_load(parsed.config.read_text(encoding="utf-8"))["extractor"]
    settings |= yaml.safe_load("\n".join(one.replace("=", ": ", 1) for one in parsed.options)) or {}
    torch.set_num_threads(1)
    found = compare(settings, parsed.audio, parsed.device)
    print(
        f"{parsed.config.stem}: {found.ratio:.2f} x as fast, {found.first_s:.0f} s the first time, "
        f"greatest difference {found.max_difference:.1e}"
    )


def compare(settings: dict[str, Any], audio: Path, device: str) -> Compiled:
    """Compute the same utterances eagerly and compiled, in turns."""
    extractor = build(settings)
    assert isinstance(extractor, UtteranceExtractor)
    if device != "cpu":
        extractor.to(device)
    waveforms = _read(audio, extractor.framing.sample_rate)
    eager, compiled = extractor._compute, torch.compile(extractor._compute, dynamic=True)
    _turn(eager, waveforms)
    first_s, _ = _turn(compiled, waveforms)
    _turn(compiled, waveforms)
    ratios = []
    for _ in range(ROUNDS):
        eager_s, expected = _turn(eager, waveforms)
        compiled_s, found = _turn(compiled, waveforms)
        ratios.append(eager_s / compiled_s)
    differences = [
        float((ours[name].double() - theirs[name].double()).abs().max())
        for ours, theirs in zip(found, expected, strict=True)
        for name in theirs
    ]
    return Compiled(ratio=median(ratios), first_s=first_s, max_difference=max(differences))


def _read(folder: Path, sample_rate: int) -> list[torch.Tensor]:
    waveforms: list[torch.Tensor] = []
    for path in sorted(folder.rglob("*.flac")):
        info = soundfile.info(path)
        if SHORTEST_S < info.duration < LONGEST_S and len(waveforms) < NUM_UTTERANCES:
            samples = load_audio(
                path,
                sample_rate=info.samplerate,
                num_samples=info.frames,
                target_rate=sample_rate,
            )
            waveforms.append(torch.from_numpy(samples))
    if not waveforms:
        sys.exit(f"{folder}: expected FLAC files of {SHORTEST_S:g} to {LONGEST_S:g} s, got none")
    return waveforms


def _turn(
    compute: Compute, waveforms: Sequence[torch.Tensor]
) -> tuple[float, list[dict[str, torch.Tensor]]]:
    began = time.perf_counter()
    with torch.inference_mode():
        # on the CPU again, so that a GPU is waited for
        rows = [
            {name: values.cpu() for name, values in compute(waveform).items()}
            for waveform in waveforms
        ]
    return time.perf_counter() - began, rows


if __name__ == "__main__":
    main()
