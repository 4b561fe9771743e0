"""What windows change near their seams: a long recording computed in windows, against the whole.

    python -m benchmarks.seams conf/feature/wavlm.yaml recording.flac

Needs the memory that the whole computation takes. The relative difference of a frame is the norm of
what changed over the norm of the whole's frame; of a frame of codes, the share of other codes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import yaml

from featbank.audio.recording import Recording
from featbank.base.building import build
from featbank.features.base import AudioBatch, Extractor

DISTANCES_S = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the seam error of each feature of a config on a recording."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("config", type=Path, help="a file of conf/feature/")
    parser.add_argument("audio", type=Path, help="a recording longer than its max_window_s")
    parser.add_argument(
        "options", nargs="*", metavar="option=value", help="of the extractor, such as context_s=2"
    )
    parsed = parser.parse_args(arguments)
    settings = yaml.safe_load(parsed.config.read_text(encoding="utf-8"))["extractor"]
    settings |= yaml.safe_load("\n".join(one.replace("=", ": ", 1) for one in parsed.options)) or {}
    torch.set_num_threads(1)
    for name, rows in seam_errors(settings, parsed.audio).items():
        window, context = settings.get("max_window_s"), settings.get("context_s")
        print(f"\n{name}: {window} s windows, {context} s context")
        print("from the seam (s) | frames | mean difference | greatest")
        for row in rows:
            print("{:>17} | {:6d} | {:15.2e} | {:.2e}".format(*row))


def seam_errors(settings: dict[str, Any], audio: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return for each feature: distance, number of frames, mean and greatest difference."""
    windowed, whole = build(settings), build({**settings, "max_window_s": None})
    assert isinstance(windowed, Extractor)
    assert isinstance(whole, Extractor)
    info = soundfile.info(audio)
    recording = Recording(
        audio,
        sample_rate=info.samplerate,
        num_samples=info.frames,
        target_rate=windowed.framing.sample_rate,
    )
    [waveform] = recording.blocks(recording.num_samples)
    batch = AudioBatch(ids=["a"], waveforms=[torch.from_numpy(waveform)])
    [expected] = whole.compute_features(batch, "test")
    pieces = list(windowed.compute_pieces(recording, "test"))
    return {
        name: _by_distance(
            [piece[name] for piece in pieces], expected[name], windowed, are_codes=output.is_codes
        )
        for name, output in windowed.outputs.items()
    }


def _by_distance(
    pieces: list[np.ndarray], expected: np.ndarray, extractor: Extractor, *, are_codes: bool
) -> list[tuple[Any, ...]]:
    found = np.concatenate(pieces)
    if are_codes:
        difference = (found != expected).mean(axis=1)
    else:
        difference = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)
    seams = np.array(list(accumulate(map(len, pieces)))[:-1])
    frames = np.arange(len(found)) + 0.5
    distance = np.abs(frames[:, None] - seams).min(axis=1, initial=np.inf)
    distance /= extractor.framing.frame_rate
    rows = []
    for start, stop in zip(DISTANCES_S, (*DISTANCES_S[1:], np.inf), strict=True):
        there = difference[(distance >= start) & (distance < stop)]
        if len(there):
            rows.append((f"{start:g} to {stop:g}", len(there), there.mean(), there.max()))
    return rows


if __name__ == "__main__":
    main()
