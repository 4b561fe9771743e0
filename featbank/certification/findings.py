"""Tolerances between machines, and the differences that were found."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from featbank.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerances:
    """How much may differ between machines of two numerics classes; within one class nothing may.

    Args:
        difference: of a value of a feature, as a share of the feature's standard deviation. What
            rounding to the stored dtype adds is allowed besides.
        flips: share of the frames that have another unit, or another code in any codebook.
    """

    difference: float
    flips: float

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value <= 1:
                raise ConfigError(
                    f"certificate.max_{name}", expected="a share from 0 to 1", got=value
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """An utterance whose stored bytes are not the recomputed ones.

    Args:
        id, split: of the utterance.
        same_class: whether one numerics class gave both, so that they should be equal.
        num_frames: of the utterance, repeats included.
        num_other_frames: those with another value, unit or code.
        max_abs: greatest difference of a value; 0 for tokens, whose numbers are names.
        rounding: how much of that storing alone may have made.
    """

    id: str
    split: str
    same_class: bool
    num_frames: int
    num_other_frames: int
    max_abs: float = 0.0
    rounding: float = 0.0

    def __str__(self) -> str:
        """Say it in a few words."""
        other = f"{self.num_other_frames} of {self.num_frames} frames other"
        return f"{other}, by {self.max_abs:.3g} at most" if self.max_abs else other


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """How far the stored values of a feature are from the recomputed ones, over all that were.

    Args:
        max_abs, mean_abs: difference of a value.
        minimum, maximum, std: of the recomputed values.
    """

    max_abs: float
    mean_abs: float
    minimum: float
    maximum: float
    std: float

    def __str__(self) -> str:
        """Say it in a few words."""
        return (
            f"values differ by {self.max_abs:.3g} at most and {self.mean_abs:.3g} on average, "
            f"of values from {self.minimum:.3g} to {self.maximum:.3g} "
            f"with a standard deviation of {self.std:.3g}"
        )
