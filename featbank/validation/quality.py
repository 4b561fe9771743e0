"""Quality of the stores of an option, measured on drawn utterances; see `featbank.quality`.

Each part has a plan, whose `measure` returns what it found, or why it found nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from featbank.base.framing import Framing
from featbank.base.label_forms import find_labels
from featbank.base.labels import Labels, frame_centers_s
from featbank.base.manifest import Utterance
from featbank.base.split_names import in_order
from featbank.base.units import DURATIONS, deduplicate
from featbank.errors import StoreError
from featbank.quality.abx import abx_error
from featbank.quality.drawing import draw_by_speaker, draw_utterances
from featbank.quality.ngram import total_bits
from featbank.quality.probing import probe_speakers
from featbank.quality.result import PhoneDiscrimination, SpeakerProbe, StoreQuality, UnitNgram
from featbank.quality.segments import PhoneSegment, capped, phone_segments
from featbank.quality.warping import angular, of_length_one, unequal
from featbank.validation.rounding import six_digits
from featbank.validation.stored_frames import Array, StoredFrames

_MAX_VALUES = 1 << 26
"""Values that the speaker probe holds at once: 512 MB."""

_OFF = "it is turned off"

_Rows = Sequence[Utterance]


@dataclass(frozen=True, slots=True, kw_only=True)
class AbxPlan:
    """How ABX is measured: on held-out splits.

    Args:
        speakers: drawn, at most.
        utterances: drawn of each of them; 0 measures nothing.
        segments: of a phone of a speaker, and of a context where that counts, at most.
        by_context: whether to compare phones between the same neighbours alone.
        silences: labels that are no phones.
    """

    speakers: int
    utterances: int
    segments: int
    by_context: bool
    silences: Sequence[str]

    def measure(
        self, frames: StoredFrames, rows: _Rows, labels: Labels | None, seed: int
    ) -> PhoneDiscrimination | str:
        """Compare the phones of some speakers."""
        if not self.utterances:
            return _OFF
        if labels is None:
            return "the corpus has no labels"
        if frames.framing is None:
            return "there are no frames in time"
        if frames.num_units is None and frames.num_values == 1:
            return "a single value has no angle"
        found = [
            one
            for one in self._segments(frames, frames.framing, rows, labels, seed)
            if one.context is not None or not self.by_context
        ]
        kept = capped(found, self.segments, by_context=self.by_context, seed=seed)
        if frames.num_units is None:
            # of those that are left, for as they are stored they need no memory
            kept = [replace(one, frames=of_length_one(one.frames)) for one in kept]
        distance = angular if frames.num_units is None else unequal
        within, across = (
            abx_error(kept, distance, across=across, by_context=self.by_context)
            for across in (False, True)
        )
        if within is None and across is None:
            return "the drawn utterances have no phones to compare"
        return PhoneDiscrimination(
            within=within,
            across=across,
            by_context=self.by_context,
            num_segments=len(kept),
            num_left_out=len(found) - len(kept),
        )

    def _segments(
        self, frames: StoredFrames, framing: Framing, rows: _Rows, labels: Labels, seed: int
    ) -> Iterator[PhoneSegment]:
        drawn = draw_by_speaker(rows, speakers=self.speakers, utterances=self.utterances, seed=seed)
        for row in drawn:
            intervals, values = find_labels(labels, row.id), frames.find(row)
            if intervals is not None and values is not None:
                yield from phone_segments(
                    row.id,
                    row.speaker,
                    values,
                    intervals,
                    frame_centers_s(framing, len(values)),
                    silences=self.silences,
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class NgramPlan:
    """How the n-gram of units is measured: trained on what is trained on, asked for the rest.

    Args:
        utterances: drawn of the splits to train on, and of those held out; 0 measures nothing.
        order: n.
    """

    utterances: int
    order: int

    def measure(
        self, frames: StoredFrames, trained: _Rows, held_out: _Rows, seed: int
    ) -> UnitNgram | str:
        """Count the units of some utterances and weigh those of others, codebook by codebook."""
        num_units = frames.num_units
        if num_units is None:
            return "the values are no units"
        if not self.utterances:
            return _OFF
        drawn = [
            [
                (row.duration_s, found.astype(np.int64).T)
                for row in draw_utterances(rows, self.utterances, seed)
                if (found := frames.find(row)) is not None
            ]
            for rows in (trained, held_out)
        ]
        if not all(drawn):
            return "units are needed in the splits to train on and in those held out"
        total_s = sum(duration_s for duration_s, _ in drawn[1])
        of_runs = of_frames = 0.0
        counts = [0, 0]
        for codebook in range(len(drawn[0][0][1])):
            whole = [[codes[codebook] for _, codes in some] for some in drawn]
            merged = [[deduplicate(one)[0] for one in some] for some in whole]
            of_runs += total_bits(*merged, num_units=num_units, order=self.order)
            of_frames += total_bits(*whole, num_units=num_units, order=self.order)
            counts = [
                count + sum(map(len, some)) for count, some in zip(counts, merged, strict=True)
            ]
        return UnitNgram(
            order=self.order,
            num_trained=counts[0],
            num_held_out=counts[1],
            bits_per_unit=six_digits(of_runs / counts[1]),
            bitrate=six_digits(of_runs / total_s),
            bitrate_of_frames=six_digits(of_frames / total_s),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbePlan:
    """How speakers are probed for: in all splits.

    Args:
        speakers: drawn, at most.
        utterances: drawn of each of them; 0 measures nothing.
    """

    speakers: int
    utterances: int

    def measure(self, frames: StoredFrames, rows: _Rows, seed: int) -> SpeakerProbe | str:
        """Probe the means of some utterances; of units, the shares of each."""
        if not self.utterances:
            return _OFF
        drawn = draw_by_speaker(rows, speakers=self.speakers, utterances=self.utterances, seed=seed)
        means: dict[str, npt.NDArray[np.float64]] = {}
        for row in drawn:
            found = frames.find(row)
            if found is not None:
                means[row.id] = _mean(found, frames.num_units)
                if len(means) * means[row.id].size > _MAX_VALUES:
                    return "an utterance has too many values: probe fewer of them"
        probed = probe_speakers(means, {row.id: row.speaker for row in drawn}, seed=seed)
        return probed or "no two speakers have two utterances each"


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityPlan:
    """What is measured of the quality of stores.

    Args:
        trained: splits that something may be fitted on, by the corpus's definition.
        held_out: splits that nothing is fitted on.
        seed: of all drawings.
        abx, ngram, probe: how each part is measured.
    """

    trained: Sequence[str]
    held_out: Sequence[str]
    seed: int
    abx: AbxPlan
    ngram: NgramPlan
    probe: ProbePlan

    def measure(
        self,
        folders: Iterable[Path],
        rows: Mapping[str, Sequence[Utterance]],
        labels: Labels | None,
    ) -> tuple[StoreQuality, ...]:
        """Measure the features of an option; durations are measured with their units.

        Args:
            folders: of the features, each with a store a split.
            rows: of the manifests, by split.
            labels: of the corpus; None where it has none.

        Raises:
            CorpusError: the labels are malformed.
        """
        # an utterance that is played at another speed is no new one
        own = {split: [row for row in rows[split] if row.speed == 1] for split in in_order(rows)}
        return tuple(
            self._measure(folder, own, labels) for folder in folders if folder.name != DURATIONS
        )

    def _measure(
        self, folder: Path, rows: Mapping[str, _Rows], labels: Labels | None
    ) -> StoreQuality:
        trained, held_out = (
            [row for split in some for row in rows.get(split, ())]
            for some in (self.trained, self.held_out)
        )
        everything = [row for some in rows.values() for row in some]
        try:
            frames = StoredFrames(folder, rows)
            abx = self.abx.measure(frames, held_out, labels, self.seed)
            ngram = self.ngram.measure(frames, trained, held_out, self.seed)
            speakers = self.probe.measure(frames, everything, self.seed)
        except StoreError:  # a finding of the check of the store
            abx = ngram = speakers = "a store is missing or damaged"
        parts = {"abx": abx, "ngram": ngram, "speakers": speakers}
        return StoreQuality(
            name=folder.name,
            abx=None if isinstance(abx, str) else abx,
            ngram=None if isinstance(ngram, str) else ngram,
            speakers=None if isinstance(speakers, str) else speakers,
            absent={name: found for name, found in parts.items() if isinstance(found, str)},
        )


def _mean(frames: Array, num_units: int | None) -> npt.NDArray[np.float64]:
    """Return the mean frame (D,); of codes (T, Q), the share of each code of each codebook."""
    if num_units is None:
        mean: npt.NDArray[np.float64] = frames.mean(axis=0, dtype=np.float64)
        return mean
    counts = [np.bincount(codes.astype(np.int64), minlength=num_units) for codes in frames.T]
    return np.concatenate(counts) / len(frames)
