"""The stability of tokens, as JSON for programs and people."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from featbank.base.amounts import percent
from featbank.errors import ValidationError
from featbank.files.json_files import read_json
from featbank.files.provenance import readable_json, write_atomic
from featbank.files.records import record

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
            f"{percent(self.flip_rate, 2)} of {self.num_frames} frames of {self.num_utterances} "
            f"utterances flip, unit edit distance {percent(self.unit_edit_distance, 2)} "
            f"({self.told})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stability:
    """How stable the tokens of a choice are, by store name and disturbance.

    It holds no time, host or path.

    Args:
        name: of the choice, such as `tokens/mfcc-kmeans100`.
        seed: of the sample and of the noise.
        corpus: digest of the summary of the corpus that the sample was drawn from.
        sample: ids of the utterances that were disturbed, by split.
        fingerprints: of the stores that hold these tokens, by their names.
        stores: by store name, then by disturbance; a disturbance that left no frame is not there.
    """

    name: str
    seed: int
    corpus: str
    sample: Mapping[str, tuple[str, ...]]
    fingerprints: Mapping[str, str]
    stores: Mapping[str, Mapping[str, DisturbedTokens]]

    @classmethod
    def of_nothing(cls, name: str, seed: int, corpus: str) -> Stability:
        """Return that of a choice without tokens."""
        return cls(name=name, seed=seed, corpus=corpus, sample={}, fingerprints={}, stores={})

    def of_store(self, name: str, fingerprint: str) -> Mapping[str, DisturbedTokens] | None:
        """Return what was found by disturbance; None if that store holds other tokens."""
        is_same = self.fingerprints.get(name) == fingerprint
        return self.stores.get(name) if is_same else None


def write_stability(stability: Stability, path: str | Path) -> None:
    """Write a stability as JSON, for people too."""
    described = {"format": FORMAT, "format_version": FORMAT_VERSION}
    write_atomic(path, readable_json({**described, **asdict(stability)}))


def read_stability(path: str | Path) -> Stability:
    """Read a stability that `write_stability` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValidationError: it is no such result, or one of another version.
    """
    place, hint = f"stability {path}", "run python stages/stability.py"
    written = "what stages/stability.py writes"
    if not os.path.lexists(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    fields = read_json(path, what="stability", error=ValidationError, hint=hint)
    found = fields.pop("format", None), fields.pop("format_version", None)
    if found != (FORMAT, FORMAT_VERSION):
        raise ValidationError(
            place,
            expected=f"{FORMAT} version {FORMAT_VERSION}",
            got=found,
            hint=hint,
        )
    try:
        return record(Stability, fields)
    except ValueError as error:
        raise ValidationError(place, expected=written, got=error, hint=hint) from error


def read_stabilities(folder: str | Path, names: Iterable[str], corpus: str) -> dict[str, Stability]:
    """Read the stabilities of some choices, where they exist and are of this corpus.

    Args:
        folder: of the results.
        names: of the choices.
        corpus: digest of its summary as it is now.

    Raises:
        ValidationError: what `read_stability` raises.
    """
    paths = {name: Path(folder, f"{name}.json") for name in names}
    found = {name: read_stability(path) for name, path in paths.items() if os.path.lexists(path)}
    return {name: one for name, one in found.items() if one.corpus == corpus}
