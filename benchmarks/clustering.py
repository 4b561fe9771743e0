"""Bar 8: k-means on real speech, fitted and assigned."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import OmegaConf
from threadpoolctl import threadpool_limits

from benchmarks.bars import Bar, Report
from benchmarks.extraction import CONF, DEMO
from benchmarks.scale import Scale
from benchmarks.shelf import Shelf
from benchmarks.speech import SAMPLE_RATE, read_source
from benchmarks.timing import Turn, interleave, median_ratio
from featbank.audio import load_audio
from featbank.base.building import build
from featbank.features.base import AudioBatch, Extractor
from featbank.features.signal.kaldi import Mfcc
from featbank.files.provenance import file_sha256
from featbank.tokenizers.codebook import Codebook
from featbank.tokenizers.kmeans import KMeans

Floats = NDArray[np.float32]
Fit = Callable[[Floats, int], Floats]
"""Takes frames (N, D), in random order, and K; returns centroids (K, D)."""

_UTTERANCE_FRAMES = 1000
_PIECE_SAMPLES = 30 * SAMPLE_RATE
_HELD_OUT = 5  # one frame of so many
_OURS, _SKLEARN = "featbank", "scikit-learn MiniBatchKMeans, batches of 10,000"


def measure(shelf: Shelf, scale: Scale) -> Iterator[Report]:
    """Fit and assign MFCC with deltas, and a layer of Whisper's encoder where a folder is given."""
    torch.set_num_threads(1)
    extractors: dict[str, Extractor] = {"MFCC with deltas": Mfcc(use_energy=False, deltas=2)}
    if shelf.whisper:
        extractors["Whisper tiny.en, layer 3"] = _whisper(shelf.whisper)
    for what, extractor in extractors.items():
        frames = _frames(extractor, shelf.audio or DEMO, scale.kmeans_frames)
        yield _fitting(what, frames, scale)
        yield _assigning(what, frames, scale)


def _fitting(what: str, frames: Floats, scale: Scale) -> Report:
    held_out, training = np.split(frames, [len(frames) // _HELD_OUT])
    num_clusters = scale.kmeans_clusters
    times: dict[str, list[float]] = {name: [] for name in _FITS}
    left: dict[str, float] = {}
    with threadpool_limits(limits=1):
        for fit in _FITS.values():  # imports, and what else happens but once
            fit(training[:2000].copy(), 2)
        # of wide frames scikit-learn's fits take minutes: once
        for number in range(scale.kmeans_rounds if frames.shape[1] < 100 else 1):
            for name in _FITS if number % 2 == 0 else reversed(_FITS):
                mine = training.copy()
                begin = time.perf_counter()
                centroids = _FITS[name](mine, num_clusters)
                times[name].append(time.perf_counter() - begin)
                left[name] = _mean_squared_distance(held_out, centroids)
    speeds = {name: [1 / one for one in ones] for name, ones in times.items()}
    report = Report(
        f"K-means: {what}, K={num_clusters}, {len(training):,} x {frames.shape[1]} frames",
        ["what", "s", "x as fast as scikit-learn", "held-out mean squared distance", "/ its"],
    )
    for name in _FITS:
        report.rows.append(
            [
                name,
                median(times[name]),
                median_ratio(speeds[name], speeds[_SKLEARN]),
                left[name],
                left[name] / left[_SKLEARN],
            ]
        )
    report.bars = [
        Bar("featbank / scikit-learn, speed", 2, median_ratio(speeds[_OURS], speeds[_SKLEARN])),
        Bar(
            "featbank / scikit-learn, held-out mean squared distance",
            1,
            left[_OURS] / left[_SKLEARN],
            at_most=True,
        ),
    ]
    report.notes = [f"{len(held_out):,} held-out frames; one thread each"]
    return report


def _assigning(what: str, frames: Floats, scale: Scale) -> Report:
    codebook = Codebook(centroids=frames[: scale.kmeans_clusters].copy())
    transposed = torch.from_numpy(codebook.centroids).T.contiguous()
    utterances = np.split(frames, range(_UTTERANCE_FRAMES, len(frames), _UTTERANCE_FRAMES))

    def product(utterance: Floats) -> None:
        torch.mm(torch.from_numpy(utterance), transposed)

    turns = {
        "floor: the matrix product alone": _turn(utterances, product, scale.turn_s),
        _OURS: _turn(utterances, codebook.assign, scale.turn_s),
    }
    rates = interleave(turns, scale.rounds)
    floor = next(iter(turns))
    report = Report(
        f"Assignment: {what}, K={scale.kmeans_clusters}, utterances of {_UTTERANCE_FRAMES} frames",
        ["what", "frames/s", "/ floor"],
        rows=[
            [name, median(ones), median_ratio(ones, rates[floor])] for name, ones in rates.items()
        ],
    )
    report.bars = [Bar("featbank / floor", 0.8, median_ratio(rates[_OURS], rates[floor]))]
    return report


def _turn(utterances: list[Floats], work: Callable[[Floats], Any], turn_s: float) -> Turn:
    def turn() -> float:
        num_frames, place = 0, 0
        begin = time.perf_counter()
        while (elapsed := time.perf_counter() - begin) < turn_s:
            utterance = utterances[place % len(utterances)]
            work(utterance)
            num_frames, place = num_frames + len(utterance), place + 1
        return num_frames / elapsed

    return turn


def _mean_squared_distance(frames: Floats, centroids: Floats) -> float:
    total = 0.0
    found = torch.from_numpy(centroids).double()
    for block in torch.from_numpy(frames).double().split(4096):
        total += float(torch.cdist(block, found).amin(dim=1).square().sum())
    return total / len(frames)


def _frames(extractor: Extractor, source: Path, most: int) -> Floats:
    """Compute the files of a folder until there are enough frames, and mix them."""
    parts: list[Floats] = []
    for number, waveform in enumerate(_joined(source)):
        if sum(map(len, parts)) >= most * _HELD_OUT / (_HELD_OUT - 1):
            break
        batch = AudioBatch(ids=[str(number)], waveforms=[waveform])
        [features] = extractor.compute_features(batch, "test")
        [values] = (value for name, value in features.items() if name != "id")
        parts.append(np.asarray(values, np.float32))
    frames = np.concatenate(parts)
    order = np.random.default_rng(0).permutation(len(frames))
    return frames[order[: most * _HELD_OUT // (_HELD_OUT - 1)]]


def _joined(source: Path) -> Iterator[torch.Tensor]:
    """Give files one behind the other, 30 s together: what Whisper always computes."""
    waiting = np.empty(0, np.float32)
    for row in read_source(source):
        more = load_audio(source / row.audio, sample_rate=SAMPLE_RATE, num_samples=row.num_samples)
        waiting = np.concatenate([waiting, more])
        while len(waiting) >= _PIECE_SAMPLES:
            yield torch.from_numpy(waiting[:_PIECE_SAMPLES].copy())
            waiting = waiting[_PIECE_SAMPLES:]


def _whisper(folder: Path) -> Extractor:
    config = OmegaConf.to_container(OmegaConf.load(CONF / "feature" / "whisper_tiny_en.yaml"))
    weights, *others = folder.glob("*.safetensors")
    if others:
        raise ValueError(f"{folder}: expected one safetensors file, got {1 + len(others)}")
    extractor: Extractor = build(
        {
            **config["extractor"],  # type: ignore[index,call-overload,dict-item]
            "weights": str(folder),
            "weights_sha256": file_sha256(weights),
            "layers": {"states": 3},
        }
    )
    return extractor


def _ours(frames: Floats, num_clusters: int) -> Floats:
    centroids, _ = KMeans(num_clusters=num_clusters).fit(frames, seed=0)
    return centroids[0]


def _sklearn(**settings: Any) -> Fit:
    def fit(frames: Floats, num_clusters: int) -> Floats:
        from sklearn.cluster import MiniBatchKMeans

        model = MiniBatchKMeans(
            num_clusters, n_init=1, batch_size=10_000, random_state=0, compute_labels=False,
            **settings,
        )  # fmt: skip
        return np.asarray(model.fit(frames).cluster_centers_, np.float32)

    return fit


def _faiss(frames: Floats, num_clusters: int) -> Floats:
    import faiss

    faiss.omp_set_num_threads(1)
    model = faiss.Kmeans(
        frames.shape[1], num_clusters, niter=10, seed=1, max_points_per_centroid=len(frames)
    )
    model.train(frames)
    return np.asarray(model.centroids)


_FITS: Mapping[str, Fit] = {
    _OURS: _ours,
    _SKLEARN: _sklearn(),
    "scikit-learn, as HuBERT's learn_kmeans.py": _sklearn(
        max_no_improvement=100, tol=0.0, reassignment_ratio=0.0
    ),
    "faiss, 10 passes": _faiss,
}
