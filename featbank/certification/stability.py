"""How stable tokens are when the audio is disturbed, as plain values that a person can read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from featbank.provenance import readable_json, write_atomic

FORMAT = "featbank-stability"
FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Flips:
    """What a disturbance did to the tokens of one codebook.

    Args:
        flip_rate: share of the compared frames with another token.
        unit_edit_distance: mean over the utterances.
    """

    flip_rate: float
    unit_edit_distance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DisturbedTokens:
    """What a disturbance did to the tokens of one store.

    Args:
        told: the disturbance, in words.
        num_utterances, num_frames: that were compared.
        flip_rate, unit_edit_distance: means over the codebooks.
        codebooks: each on its own.
    """

    told: str
    num_utterances: int
    num_frames: int
    flip_rate: float
    unit_edit_distance: float
    codebooks: tuple[Flips, ...]

    def __str__(self) -> str:
        """Say it in a few words."""
        return (
            f"{self.flip_rate:.2%} of {self.num_frames} frames flip, "
            f"unit edit distance {self.unit_edit_distance:.2%} ({self.told})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stability:
    """How stable the tokens of a choice are, by store name and disturbance.

    It holds no time, host or path.

    Args:
        name: of the choice, such as `tokens/mfcc-kmeans100`.
        seed: of the sample and of the noise.
        sample: ids of the utterances that were disturbed, by split.
        stores: by store name, then by disturbance; a disturbance that left no frame is not there.
    """

    name: str
    seed: int
    sample: Mapping[str, tuple[str, ...]]
    stores: Mapping[str, Mapping[str, DisturbedTokens]]


def write_stability(stability: Stability, path: str | Path) -> None:
    """Write it as JSON, for people too."""
    described = {"format": FORMAT, "format_version": FORMAT_VERSION}
    write_atomic(path, readable_json({**described, **asdict(stability)}))
