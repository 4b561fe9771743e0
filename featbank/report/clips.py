"""Clips of a report: the beginnings of a few utterances, read from audio to be seen and heard."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from featbank.audio import load_audio
from featbank.base.manifest import Utterance, read_rows_at
from featbank.base.split_names import in_order
from featbank.errors import AudioError, FeatbankError
from featbank.files.opening import bounded_lines, open_regular
from featbank.files.provenance import canonical_json
from featbank.files.remote import is_remote
from featbank.validation.result import CheckResult

_MAX_RATE = 16_000
"""Of a sound on the page, in Hz: speech needs no more."""


_CONF = "conf/report.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipPlan:
    """Which utterances a report lets people see and hear.

    Args:
        manifests: folder of the corpus's manifests.
        root: folder of its audio, or their URL.
        license: of the corpus, for rows that do not say their own.
        number: of utterances at most, one a split.
        max_s: of each, from its beginning.
        unheard: patterns of licences and consents of which nothing is played or drawn from audio;
            the case of letters is no matter.
    """

    manifests: Path
    root: str
    license: str
    number: int
    max_s: float
    unheard: Sequence[str]

    def forbids(self, row: Utterance) -> str:
        """Return the term of an utterance that forbids a copy of its audio; empty for none."""
        patterns = [pattern.casefold() for pattern in self.unheard]
        for term in (row.license or self.license, row.consent):
            if any(fnmatchcase(term.casefold(), pattern) for pattern in patterns):
                return term
        return ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clip:
    """The beginning of one utterance.

    Args:
        split, id: of the utterance.
        waveform: (n,) float32 samples.
        sample_rate: of them, in Hz.
        whole_s: length of the whole utterance, in seconds.
    """

    split: str
    id: str
    waveform: npt.NDArray[np.float32]
    sample_rate: int
    whole_s: float

    @property
    def duration_s(self) -> float:
        """Its length in seconds."""
        return len(self.waveform) / self.sample_rate

    def flac(self) -> bytes:
        """Return it as a FLAC file of 16 bits: the same samples, the same bytes."""
        file = io.BytesIO()
        soundfile.write(file, self.waveform, self.sample_rate, format="FLAC", subtype="PCM_16")
        return file.getvalue()


@dataclass(frozen=True, slots=True, kw_only=True)
class Clips:
    """What was read for a report.

    Args:
        read: a clip for each split that has one.
        lacking: why other splits, or all, have none.
    """

    read: tuple[Clip, ...] = ()
    lacking: tuple[str, ...] = ()


def shown_utterances(results: Sequence[CheckResult]) -> Mapping[str, str]:
    """Return the utterance of each split that pictures show, by split: most stores show the same.

    It is the one of the smallest digest that the first store of the split holds.
    """
    found: dict[str, str] = {}
    for result in results:
        for store in result.stores:
            if store.example is not None:
                found.setdefault(store.split, store.example.id)
    return {split: found[split] for split in in_order(found)}


def read_clips(results: Sequence[CheckResult], plan: ClipPlan) -> Clips:
    """Read the beginning of an utterance of each split; what cannot be read is told, not raised.

    Raises:
        FileNotFoundError: a manifest is missing.
        ManifestError: its row is malformed.
        OSError: the machine failed, not the file.
    """
    shown = list(shown_utterances(results).items())
    if not plan.number:
        return Clips(lacking=(f"no utterance can be heard: sounds is 0 in {_CONF}",))
    if is_remote(plan.root):
        return Clips(lacking=("no utterance can be heard: the audio of the corpus is elsewhere",))
    if not Path(plan.root).exists():
        return Clips(lacking=("no utterance can be heard: the audio of the corpus is not here",))
    read: list[Clip] = []
    lacking: list[str] = []
    if beyond := [split for split, _ in shown[plan.number :]]:
        lacking.append(f"no sound of {', '.join(beyond)}: sounds is {plan.number} in {_CONF}")
    for split, utterance_id in shown[: plan.number]:
        for row in _find_row(plan.manifests / f"{split}.jsonl", utterance_id):
            told = f"no sound of {split}:"
            if term := plan.forbids(row):
                lacking.append(f"{told} its terms are {term!r}, which unheard of {_CONF} names")
                continue
            try:
                read.append(_read(row, split, plan))
            except AudioError as error:
                lacking.append(f"{told} the audio is not as it was prepared ({error.kind})")
            except FeatbankError:  # such as ffmpeg, which it needs
                lacking.append(f"{told} this machine cannot decode its audio")
    return Clips(read=tuple(read), lacking=tuple(lacking))


def _find_row(path: Path, utterance_id: str) -> Iterator[Utterance]:
    """Give the row of an id, if there is one; lines before it are looked at, not parsed."""
    wanted = f'"id":{canonical_json(utterance_id)}'.encode()
    offset = 0
    with open_regular(path) as file:
        for line in bounded_lines(file):
            if wanted in line:
                break
            offset += len(line)
        else:
            return
    yield from read_rows_at(path, [offset])


def _read(row: Utterance, split: str, plan: ClipPlan) -> Clip:
    rate = min(row.sample_rate, _MAX_RATE)
    where: dict[str, Any] = {"start_sample": row.start_sample, "channel": row.channel}
    waveform = load_audio(
        str(Path(plan.root) / row.audio),
        sample_rate=row.sample_rate,
        num_samples=min(row.num_samples, round(plan.max_s * row.played_rate)),
        target_rate=rate,
        speed=row.speed,
        digest=row.audio_digest,
        **where,
    )
    return Clip(split=split, id=row.id, waveform=waveform, sample_rate=rate, whole_s=row.duration_s)
