"""Measure stability: compute a sample from clean and disturbed audio, and compare the tokens."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from featbank.audio import load_audio, scan_audio
from featbank.base.manifest import Utterance
from featbank.engine.recomputing import DrawnSample, recomputed
from featbank.engine.run import Run
from featbank.errors import AudioError, FeatbankError, StoreError
from featbank.files.provenance import digest
from featbank.files.remote import AnyPath
from featbank.stability.disturbances import Waveform, disturb, disturbances
from featbank.stability.flips import Tokens, aligned, frames_between, unit_edit_distance
from featbank.stability.result import DisturbedTokens, Flips, Stability
from featbank.store import Store, open_store

_log = logging.getLogger(__name__)

_CLEAN = "clean"
"""The split of what is not disturbed. Each disturbance is one: of no meaning are the corpus's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredTokens:
    """Tokens whose stability is measured.

    Args:
        name: of the choice, such as `tokens/mfcc-kmeans100`.
        stores: names of those that hold tokens.
        compute: `extract` for codes, or `tokenize_audio`, without merging repeats.
        fingerprints: of the stores that hold such tokens; None: of stores as `compute` makes them.
    """

    name: str
    stores: Sequence[str]
    compute: Callable[[Run, Path], object]
    fingerprints: Mapping[str, str] | None = None


def beginnings(sample: DrawnSample, max_s: float) -> DrawnSample:
    """Cut the utterances of a sample off behind their first `max_s` seconds."""
    rows = {
        split: [
            replace(row, num_samples=min(row.num_samples, round(max_s * row.played_rate)))
            for row in rows
        ]
        for split, rows in sample.rows.items()
    }
    return replace(sample, rows=rows)


def measure_stability(
    run: Run, choice: MeasuredTokens, sample: DrawnSample, *, corpus: str
) -> Stability:
    """Compute a sample clean and disturbed, in one pass, and compare the tokens.

    Utterances that fail, clean or disturbed, are left out: a disturbance may leave one too short.

    Args:
        run: that makes the tokens of the choice; its work folder takes the disturbed audio and the
            stores until they are compared.
        choice: of tokens.
        sample: drawn from the manifests.
        corpus: digest of the summary of the corpus that the sample was drawn from.

    Raises:
        FeatbankError: nothing of the sample can be read, or what computing raises.
    """
    run.work.mkdir(parents=True, exist_ok=True)
    drawn = [row for rows in sample.rows.values() for row in rows]
    with tempfile.TemporaryDirectory(dir=run.work) as folder:
        root = Path(folder)
        rows = _write_sample(drawn, run.corpus.audio_root, root, sample.seed)
        here = replace(run, corpus=replace(run.corpus, audio_root=root))
        with recomputed(choice.compute, here, rows) as out:
            made = {
                one: {kind: open_store(out / one / kind) for kind in rows} for one in choice.stores
            }
            stores = {one: _compare(of_kind, drawn) for one, of_kind in made.items()}
            fingerprints = {one: of_kind[_CLEAN].fingerprint for one, of_kind in made.items()}
    return Stability(
        name=choice.name,
        seed=sample.seed,
        corpus=corpus,
        sample=sample.ids,
        fingerprints=choice.fingerprints or fingerprints,
        stores=stores,
    )


def _write_sample(
    drawn: Sequence[Utterance], audio_root: AnyPath, root: Path, seed: int
) -> dict[str, list[Utterance]]:
    """Write the utterances that can be read, clean and disturbed, and return their rows by kind.

    Raises:
        FeatbankError: none can be read.
    """
    rows: dict[str, list[Utterance]] = {kind: [] for kind in (_CLEAN, *disturbances())}
    errors: list[AudioError] = []
    for row in drawn:
        try:
            clean = load_audio(
                str(audio_root / row.audio),
                sample_rate=row.sample_rate,
                num_samples=row.num_samples,
                start_sample=row.start_sample,
                channel=row.channel,
                digest=row.audio_digest,
            )
        except AudioError as error:
            errors.append(error)
        else:
            for kind, written in _write_disturbed(row, clean, root, seed):
                rows[kind].append(written)
    if errors and not rows[_CLEAN]:
        raise FeatbankError(
            f"audio of the sample under {audio_root}",
            expected=f"{len(drawn)} utterances",
            got=f"none that can be read; the first: {errors[0]}",
        )
    if errors:
        _log.warning(
            "%d of the %d utterances drawn cannot be read and are left out; the first: %s",
            len(errors),
            len(drawn),
            errors[0],
        )
    return rows


def _write_disturbed(
    row: Utterance, clean: Waveform, root: Path, seed: int
) -> Iterator[tuple[str, Utterance]]:
    """Write an utterance clean and disturbed, and give the kind and the row of each file.

    The samples are the file's own; what is written says the rate that they are played at.
    """
    disturbed = {
        kind: disturb(kind, clean, row.played_rate, seed=[seed, row.id]) for kind in disturbances()
    }
    for kind, waveform in {_CLEAN: clean, **disturbed}.items():
        if not len(waveform):
            continue
        # not as WAV, where the library notes the time beside floats: the digest is to be the same
        path = root / kind / f"{digest(row.id)}.au"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, waveform, row.played_rate, format="AU", subtype="FLOAT")
        yield (
            kind,
            Utterance(
                id=row.id,
                audio=path.relative_to(root).as_posix(),
                audio_digest=scan_audio(path).digest,
                sample_rate=row.played_rate,
                num_samples=len(waveform),
            ),
        )


def _compare(made: Mapping[str, Store], rows: Sequence[Utterance]) -> dict[str, DisturbedTokens]:
    """Compare disturbed tokens with the clean ones, each in a store of their own."""
    framing = made[_CLEAN].header.framing
    if framing is None:
        raise StoreError(
            f"store {made[_CLEAN].name}",
            expected="the frame grid, to compare frames by",
            got="none",
        )
    found = {}
    for kind, disturbance in disturbances().items():
        compared = []
        for row in rows:
            pair = made[_CLEAN], made[kind]
            if all(row.id in store for store in pair):
                clean, disturbed = (_by_codebook(store, row.id) for store in pair)
                shift = disturbance.shift(row.played_rate)
                later = frames_between(framing, shift, row.played_rate)
                one = _compare_utterance(clean, disturbed, later)
                compared += [one] if one.num_frames else []
        if compared:
            found[kind] = _disturbed(disturbance.told, compared)
    return found


class _Compared(NamedTuple):
    """An utterance: frames compared, and by codebook (Q,) flips and unit edit distances."""

    num_frames: int
    flips: list[int]
    distances: list[float]


def _compare_utterance(clean: Tokens, disturbed: Tokens, later: int) -> _Compared:
    """Compare tokens (Q, T) and (Q, T') over the frames that both have."""
    pairs = [aligned(*pair, later) for pair in zip(clean, disturbed, strict=True)]
    num_frames = len(pairs[0][0]) if pairs else 0
    return _Compared(
        num_frames=num_frames,
        flips=[int((one != other).sum()) for one, other in pairs],
        distances=[unit_edit_distance(*pair) for pair in pairs] if num_frames else [],
    )


def _by_codebook(store: Store, utterance_id: str) -> Tokens:
    """Return the tokens (Q, T) of an utterance."""
    tokens = store[utterance_id]
    if store.header.time_axis != -1:
        tokens = np.moveaxis(tokens, 0, -1)
    return tokens.reshape(-1, tokens.shape[-1])


def _disturbed(told: str, compared: Sequence[_Compared]) -> DisturbedTokens:
    num_frames = sum(one.num_frames for one in compared)
    rates = np.sum([one.flips for one in compared], axis=0) / num_frames
    means = np.mean([one.distances for one in compared], axis=0)
    return DisturbedTokens(
        told=told,
        num_utterances=len(compared),
        num_frames=num_frames,
        flip_rate=float(rates.mean()),
        unit_edit_distance=float(means.mean()),
        codebooks=tuple(
            Flips(flip_rate=rate, unit_edit_distance=mean)
            for rate, mean in zip(rates.tolist(), means.tolist(), strict=True)
        ),
    )
