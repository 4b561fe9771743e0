"""Golden values of the extractors.

`python -m tests.features.golden_values fbank mfcc` writes those anew; without a name, all. Those of
a new extractor may stand in its own test instead, as `GOLDEN`: see `test_stft.py`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from featbank.features.base import Extractor
from featbank.features.encoders.ssl import SslEncoder
from featbank.features.encoders.transformers_ssl import TransformersEncoder
from featbank.features.encoders.w2v_bert import Wav2Vec2BertEncoder
from featbank.features.encoders.whisper import WhisperEncoder
from featbank.features.signal.kaldi import INT16_SCALE, Fbank, Mfcc
from featbank.features.signal.log_mel import VocoderMel, WhisperLogMel
from featbank.features.signal.pitch import F0
from featbank.features.signal.stft import Spectrogram
from tests.features.checks import compute
from tests.features.tiny_codecs import KINDS, make_codec

FOLDER = Path(__file__).parent / "golden"
AUDIO = Path(__file__).parents[2] / "corpora/demo/librivox_austen/sense-01-0870.flac"
TOLERANCE = 1e-4

EXTRACTORS: dict[str, Callable[[], Extractor]] = {
    "fbank": lambda: Fbank(num_mel_bins=80, waveform_scale=INT16_SCALE),
    "mfcc": lambda: Mfcc(deltas=2),
    "log_mel_whisper": WhisperLogMel,
    "mel": lambda: VocoderMel(sample_rate=16000, num_mel_bins=80, high_freq=7600.0),
    "spectrogram": lambda: Spectrogram(sample_rate=16000),
    # coarse, since time goes with the square of the number of F0
    "f0": lambda: F0(sample_rate=16000, resolution=0.4),
    "ssl": lambda: SslEncoder(
        bundle="WAVLM_BASE", layers={"first": 1, "third": 3}, weights="random"
    ),
    "transformers_ssl": lambda: TransformersEncoder(
        kind="data2vec-audio",
        model="tiny/data2vec",
        layers={"zeroth": 0, "second": 2},
        normalize_waveform=True,
        weights="random",
        architecture={
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "conv_dim": [32] * 7,
        },
    ),
    "w2v_bert": lambda: Wav2Vec2BertEncoder(
        model="tiny",
        architecture={
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 64,
        },
        layers={"first": 0, "mixed": "uniform", "last": "final"},
        weights="random",
    ),
    "whisper": lambda: WhisperEncoder(
        model="tiny",
        architecture={
            "d_model": 32,
            "encoder_layers": 2,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 64,
        },
        layers={"first": 0, "mixed": "uniform", "last": "final"},
        weights="random",
    ),
    **{kind: partial(make_codec, kind) for kind in KINDS},
}


@dataclass(frozen=True)
class Golden:
    """An extractor, and what its version gives: as `golden_values` has it."""

    make: Callable[[], Extractor]
    version: int
    values: Mapping[str, list[list[float]]]


def goldens() -> Iterator[tuple[str, Golden]]:
    """Give the golden values of every extractor by a name, those in the tests' own files too."""
    for name, make in EXTRACTORS.items():
        yield name, Golden(make, **json.loads((FOLDER / f"{name}.json").read_text()))
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        if "\nGOLDEN = " in path.read_text():
            yield from import_module(f"tests.features.{path.stem}").GOLDEN.items()


def golden_values(extractor: Extractor) -> dict[str, Any]:
    """Return some values of each feature of one utterance, rounded and spread over its frames."""
    samples, _ = soundfile.read(AUDIO, dtype="float32", frames=48000)
    features = compute(extractor, torch.from_numpy(samples))
    return {
        "version": type(extractor).version,
        "values": {name: _some(features[name]) for name in sorted(extractor.outputs)},
    }


def _some(values: np.ndarray) -> list[list[float]]:
    rows = np.linspace(0, len(values) - 1, 8).astype(int)
    columns = np.unique(np.linspace(0, values.shape[1] - 1, 13).astype(int))
    return np.round(values[np.ix_(rows, columns)].astype(np.float64), 5).tolist()


def main(arguments: Sequence[str] | None = None, folder: Path = FOLDER) -> None:
    """Write the golden values of the extractors that are named, or of all."""
    parser = argparse.ArgumentParser(prog="python -m tests.features.golden_values")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(EXTRACTORS)}")
    names = parser.parse_args(arguments).names or list(EXTRACTORS)
    if unknown := [name for name in names if name not in EXTRACTORS]:
        parser.error(f"expected names of {', '.join(EXTRACTORS)}; got {', '.join(unknown)}")
    torch.set_num_threads(1)
    for name in names:
        text = json.dumps(golden_values(EXTRACTORS[name]()), indent=1, sort_keys=True)
        (folder / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
