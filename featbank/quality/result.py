"""What is measured of the quality of a store, as plain values for checks and reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class AbxScore:
    """The ABX error of phones; `featbank.quality.abx` says what is averaged.

    Args:
        error_rate: from 0 to 1; 0.5 is chance.
        num_cells: that were averaged.
        num_pairs: ordered pairs of phones in them.
    """

    error_rate: float
    num_cells: int
    num_pairs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneDiscrimination:
    """The ABX error of the phones of a store.

    Args:
        within, across: speakers; None where there is nothing to compare, such as one speaker alone.
        by_context: whether phones were compared between the same neighbours alone.
        num_segments: phones that were compared.
        num_left_out: phones of the drawn utterances beyond the cap of a phone of a speaker.
    """

    within: AbxScore | None
    across: AbxScore | None
    by_context: bool
    num_segments: int
    num_left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitNgram:
    """What an n-gram says of held-out units; of several codebooks, each alone, and the sums.

    Args:
        order: n: units are predicted from the n - 1 before them.
        num_trained: units that it was trained on, repeats left out.
        num_held_out: units that it was measured on, repeats left out.
        bits_per_unit: mean of -log2 p of a unit, without repeats.
        bitrate: bit/s of them; durations are left out.
        bitrate_of_frames: bit/s of another n-gram, over the unit of every frame.
    """

    order: int
    num_trained: int
    num_held_out: int
    bits_per_unit: float
    bitrate: float
    bitrate_of_frames: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakerProbe:
    """How well a linear map tells speakers by the mean frame of an utterance.

    Args:
        accuracy: share of the utterances whose speaker it names, of others than it was fitted on.
        chance: share of those that are of the speaker with the most utterances in the fit.
        num_speakers: that it tells apart.
        num_fitted, num_asked: utterances.
    """

    accuracy: float
    chance: float
    num_speakers: int
    num_fitted: int
    num_asked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreQuality:
    """Quality of one store in all its splits.

    Args:
        name: of the feature: `mfcc`, `units`.
        abx: how far its phones can be told apart.
        ngram: how far its units can be foretold; of units and codes.
        speakers: how far it tells speakers apart.
        absent: why one of these is not there, by its name.
    """

    name: str
    abx: PhoneDiscrimination | None = None
    ngram: UnitNgram | None = None
    speakers: SpeakerProbe | None = None
    absent: Mapping[str, str] = field(default_factory=dict)
