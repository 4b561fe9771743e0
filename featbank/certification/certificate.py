"""Certificates: the result of computing a sample again, as JSON for programs and people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from featbank.base.amounts import percent
from featbank.certification.findings import Deviation, Difference, Tolerances
from featbank.errors import ValidationError
from featbank.files.provenance import readable_json, write_atomic
from featbank.numerics import give_equal_bits
from featbank.store import Numerics
from featbank.store.healing import heal
from featbank.validation.result import Problem

FORMAT = "featbank-certificate"
FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreCertificate:
    """The result for one feature, or for units with their durations, over all splits.

    Args:
        name: of the feature, or `units`.
        fingerprints: of the stores, by name; those of the definition.
        headers: digest of the header of each store, by `<name>/<split>`.
        num_equal: utterances whose stored bytes came out again.
        num_failed: utterances in the failure lists that failed again.
        num_frames: of the utterances that were compared, repeats included.
        differences: utterances whose bytes did not come out again.
        deviation: of the values of a feature; None for units, or where nothing was compared.
        stored_numerics, numerics: classes that computed the stored values, and those just computed.
        stored_versions, versions: of the packages, likewise.
        problems: empty for stores that are as they would be made now.
    """

    name: str
    fingerprints: Mapping[str, str]
    headers: Mapping[str, str]
    num_equal: int
    num_failed: int
    num_frames: int
    differences: tuple[Difference, ...]
    deviation: Deviation | None
    stored_numerics: tuple[Numerics, ...]
    numerics: tuple[Numerics, ...]
    stored_versions: Mapping[str, str]
    versions: Mapping[str, str]
    problems: tuple[Problem, ...]

    @property
    def flip_rate(self) -> float:
        """Share of the compared frames that have another value, unit or code."""
        return sum(one.num_other_frames for one in self.differences) / max(1, self.num_frames)

    def __str__(self) -> str:
        """Say it in one line."""
        told = [f"{self.num_equal} utterances with equal bits"]
        if self.num_failed:
            told.append(f"{self.num_failed} failed again")
        if self.differences:
            found = f"{len(self.differences)} differ in {percent(self.flip_rate, 3)} of all frames"
            told.append(f"{found}; {self.deviation}" if self.deviation else found)
        if other := [*_changes(self.stored_numerics, self.numerics), *self.other_versions]:
            told.append(f"made elsewhere: {', '.join(other)}")
        return f"{self.name}: " + "; ".join(told)

    @property
    def other_versions(self) -> list[str]:
        """The packages that had another version when the stores were made."""
        return _changed(self.stored_versions, self.versions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """The result of computing a sample of the stores of one choice again.

    It holds no time, host or path, so that the same stores on the same machine give the same one.

    Args:
        name: of the choice, such as `features/fbank`.
        seed: that the sample was drawn by.
        sample: ids of the utterances that were computed again, by split.
        tolerances: between numerics classes.
        stores: one entry a feature, or one for the tokens.
    """

    name: str
    seed: int
    sample: Mapping[str, tuple[str, ...]]
    tolerances: Tolerances
    stores: tuple[StoreCertificate, ...]

    @property
    def problems(self) -> list[Problem]:
        """The problems of all its stores."""
        return [problem for store in self.stores for problem in store.problems]


def write_certificate(certificate: Certificate, path: str | Path) -> None:
    """Write a certificate as JSON, for people too."""
    fields = asdict(certificate)
    for shown, store in zip(fields["stores"], certificate.stores, strict=True):
        shown["flip_rate"] = store.flip_rate
    described = {"format": FORMAT, "format_version": FORMAT_VERSION}
    passes = not certificate.problems
    write_atomic(path, readable_json({**described, "passes": passes, **fields}))


def require_certified(certificates: Sequence[Certificate]) -> None:
    """End a run whose stores are not what would be computed now.

    Raises:
        ValidationError: names the utterances.
    """
    problems = [problem for certificate in certificates for problem in certificate.problems]
    if not problems:
        return
    other = {text for one in certificates for store in one.stores for text in store.other_versions}
    hint = f"run the stage that makes the store again; of damage, {heal(Path('STORE'))}"
    raise ValidationError(
        "\n  ".join(
            [
                f"{sum(problem.count for problem in problems)} utterances computed again are not "
                "what is stored",
                *(sentence for problem in problems for sentence in problem.sentences),
            ]
        ),
        hint=f"made with other versions ({', '.join(sorted(other))}); {hint}" if other else hint,
    )


def _changes(stored: Sequence[Numerics], computed: Sequence[Numerics]) -> list[str]:
    """Name what differs between classes that computed the stored values and those just computed."""
    return sorted(
        {
            text
            for ours in computed
            for theirs in stored
            if not give_equal_bits(theirs, ours)
            for text in _changed(theirs, ours)
        }
    )


def _changed(stored: Mapping[str, object], computed: Mapping[str, object]) -> list[str]:
    """Name the fields that differ.

    >>> _changed({"threads": 2, "isa": "AVX2"}, {"threads": 1, "isa": "AVX2"})
    ['threads 2, now 1']
    """
    return [
        f"{key} {stored.get(key)}, now {computed.get(key)}"
        for key in sorted(stored.keys() | computed.keys())
        if stored.get(key) != computed.get(key)
    ]
