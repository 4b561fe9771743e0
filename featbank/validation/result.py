"""Results of a validation, as plain values that a report, DVC and a person can read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from featbank.base.failure_kinds import FailuresOfKind
from featbank.base.split_names import in_order
from featbank.errors import ValidationError
from featbank.files.json_files import read_json
from featbank.files.provenance import canonical_json, write_atomic
from featbank.files.records import record
from featbank.quality.result import StoreQuality
from featbank.store.healing import heal
from featbank.validation.agreement import LabelCheck
from featbank.validation.confusion import UnitConfusion
from featbank.validation.inertia import HeldOutInertia
from featbank.validation.usage import CodebookUsage

FORMAT = "featbank-check"
FORMAT_VERSION = 4
_MAX_BYTES = 256 << 20  # codebooks of many codes have a count for each, for each store and split
MAX_EXAMPLES = 10
"""Findings of one kind that are put into words; the rest is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One kind of problem in one store.

    Args:
        kind: a few words, such as `wrong number of frames`.
        count: how often it was found.
        examples: the first `MAX_EXAMPLES`, each a sentence with store, place, expected, got.
    """

    kind: str
    count: int
    examples: tuple[str, ...]

    @property
    def sentences(self) -> list[str]:
        """The examples, and how many more there are."""
        if self.count == len(self.examples):
            return list(self.examples)
        more = self.count - len(self.examples)
        return [*self.examples, f"and {more} more like these: {self.kind}, {self.count} in all"]


class ProblemLog:
    """Collects problems by kind, in bounded memory."""

    def __init__(self, place: str) -> None:
        """Begin a log whose sentences all start with `place`."""
        self._place = place
        self._counts: dict[str, int] = {}
        self._examples: dict[str, list[str]] = {}

    def add(self, kind: str, where: str, *, expected: object, got: object) -> None:
        """Note one finding; `where` says what inside the place of the log is meant, or nothing."""
        kept = self._examples.setdefault(kind, [])
        if len(kept) < MAX_EXAMPLES:
            place = f"{self._place}, {where}" if where else self._place
            kept.append(f"{place}: expected {expected}, got {got}")
        self._counts[kind] = self._counts.get(kind, 0) + 1

    def problems(self) -> tuple[Problem, ...]:
        """Return what was noted, kinds in the order in which they first came up."""
        return tuple(
            Problem(kind=kind, count=count, examples=tuple(self._examples[kind]))
            for kind, count in self._counts.items()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One utterance of a store, small enough for a picture.

    Args:
        id: of the utterance.
        num_frames: that the store holds of it.
        frames_per_column, values_per_cell: neighbours that were averaged into one cell; of tokens
            the first is kept.
        columns: one list of values a column of time; None stands for NaN and infinity.
    """

    id: str
    num_frames: int
    frames_per_column: int
    values_per_cell: int
    columns: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DimensionMoments:
    """Moments of each of the D values of a frame, such as its mel bins, over a store.

    Args:
        means: (D,) of each.
        stds: (D,) their standard deviations.
    """

    means: tuple[float, ...]
    stds: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreCheck:
    """Result of the check of one store: one feature of one split.

    Args:
        name, split: of the feature and of the manifest.
        header: the store's, without its list of shards; None when it could not be read.
        num_expected: rows of the manifest.
        num_utterances, num_frames, num_bytes, num_shards, num_failures: really there; of merged
            units and their durations, `num_frames` is the number of runs.
        audio_s: seconds of audio of the utterances that are there.
        minimum, mean, maximum, std: of all finite values; None when there are none, and no mean
            or std for tokens, whose numbers are names.
        dimensions: mean and std of each value of a frame; None for tokens, for one value a frame,
            for thousands, and in checks of older versions.
        codebooks: how often each token of each codebook occurs; None for what is no tokens.
        labels: how far tokens agree with the labels of the corpus; None where it has none.
        confusion: which labels units go with; None where no frame has a label.
        failures: the failure list, by kind; empty in checks of older versions.
        example: always the same utterance, also when the corpus grows.
        problems: empty for a store that is as it should be.
    """

    name: str
    split: str
    header: Mapping[str, Any] | None = None
    num_expected: int = 0
    num_utterances: int = 0
    num_frames: int = 0
    num_bytes: int = 0
    num_shards: int = 0
    num_failures: int = 0
    audio_s: float = 0.0
    minimum: float | None = None
    mean: float | None = None
    maximum: float | None = None
    std: float | None = None
    dimensions: DimensionMoments | None = None
    codebooks: tuple[CodebookUsage, ...] | None = None
    labels: LabelCheck | None = None
    confusion: UnitConfusion | None = None
    failures: tuple[FailuresOfKind, ...] = ()
    example: Example | None = None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthHistogram:
    """Histogram of the lengths of the manifests' utterances, by split.

    Args:
        bin_s: width of a bin, in seconds; bin i holds lengths from `i * bin_s` on.
        counts: utterances in each bin, by split.
    """

    bin_s: float
    counts: Mapping[str, tuple[int, ...]]

    @property
    def by_split(self) -> list[tuple[str, tuple[int, ...]]]:
        """The counts in the order of splits, which JSON does not keep."""
        return [(split, self.counts[split]) for split in in_order(self.counts)]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """Result of the checks of the stores of one feature or token option.

    Args:
        name: of the option: `features/<feature>` or `tokens/<feature>-<tokenizer>`.
        stores: by name, then split.
        lengths: of the utterances of the manifests.
        problems: of the folder as a whole.
        inertia: of the codebook on held-out features; None for what no codebook made.
        quality: of the stores, by name; None where it was not asked for.
    """

    name: str
    stores: tuple[StoreCheck, ...]
    lengths: LengthHistogram
    problems: tuple[Problem, ...] = ()
    inertia: HeldOutInertia | None = None
    quality: tuple[StoreQuality, ...] | None = None

    @property
    def all_problems(self) -> list[Problem]:
        """Problems of the folder, then those of each store."""
        return [*self.problems, *(problem for store in self.stores for problem in store.problems)]


def write_check(result: CheckResult, path: str | Path) -> None:
    """Write a result as one line of JSON: the same result gives the same bytes."""
    fields = {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(result)}
    write_atomic(path, canonical_json(fields) + "\n")


def read_check(path: str | Path) -> CheckResult:
    """Read what `write_check` wrote.

    Raises:
        ValidationError: there is no such file, or it is no result of this version.
    """
    hint = "run python stages/validate.py"
    fields = read_json(path, what="check", error=ValidationError, hint=hint, max_bytes=_MAX_BYTES)
    found = fields.pop("format", None), fields.pop("format_version", None)
    if found != (FORMAT, FORMAT_VERSION):
        raise ValidationError(
            f"check {path}", expected=f"{FORMAT} version {FORMAT_VERSION}", got=found, hint=hint
        )
    try:
        return record(CheckResult, fields)
    except ValueError as error:
        raise ValidationError(
            f"check {path}", expected="the fields of a check", got=error, hint=hint
        ) from error


def require_good(results: Sequence[CheckResult]) -> None:
    """End a run whose stores have problems.

    Raises:
        ValidationError: names every problem that was found.
    """
    problems = [problem for result in results for problem in result.all_problems]
    if problems:
        sentences = [sentence for problem in problems for sentence in problem.sentences]
        raise ValidationError(
            "\n  ".join([f"{sum(problem.count for problem in problems)} problems", *sentences]),
            hint=f"run the stage that makes the store again; of damage, {heal(Path('STORE'))}",
        )
