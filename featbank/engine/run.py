"""A run of an extractor over a prepared corpus, and what it may reuse."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from featbank.base.progress import Advance
from featbank.engine.definition import FeatureDefinition
from featbank.errors import ConfigError
from featbank.files.remote import AnyPath
from featbank.numerics import ON_CPU, Computing
from featbank.runners.base import Runner

STRICT, ANY = "strict", "any"
"""May shards of another numerics class be taken over?"""

OnDamage = Callable[[Path], object]
"""Told each damaged file of a previous store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedCorpus:
    """A corpus that has manifests, and where its audio is.

    Args:
        name, license, terms: as the headers of stores state them, never counts, which change; of
            each split, the values of terms that its utterances say of their own.
        manifests: folder with a manifest a split.
        audio_root: folder, or URL, that the manifests' paths are relative to.
    """

    name: str
    license: str
    manifests: Path
    audio_root: AnyPath
    terms: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)

    def stated(self, split: str) -> dict[str, object]:
        """Return what the header of a store of a split says of the corpus."""
        said: dict[str, object] = {"name": self.name, "license": self.license}
        return said | {"terms": terms} if (terms := self.terms.get(split)) else said


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How many utterances may fail, and where their list is left when more do.

    Args:
        max_failures: a number of utterances, or below 1 a share of them.
        path: of the list.
    """

    max_failures: float = 0
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Reuse:
    """What a run takes over of what is there already, and what it may replace.

    Args:
        previous: folders like that of the stores to be, which hold previous stores.
        overwrite: replace stores that hold something else.
        anew: take nothing over from previous stores; what a stopped run has finished, and is in
            none yet, is gone on with.
        numerics: `strict` takes nothing over from machines of another numerics class, `any` does.
        on_damage: told each damaged file of what would have been taken over.

    Raises:
        ConfigError: there is no such rule for other numerics classes.
    """

    previous: Sequence[Path] = ()
    overwrite: bool = False
    anew: bool = False
    numerics: str = ANY
    on_damage: OnDamage = lambda _: None

    def __post_init__(self) -> None:
        """Check the rule."""
        if self.numerics not in (STRICT, ANY):
            raise ConfigError("numerics", expected=f"{STRICT} or {ANY}", got=self.numerics)

    @property
    def is_strict(self) -> bool:
        """Whether all shards have to be of this machine's numerics class."""
        return self.numerics == STRICT

    def strictly(self) -> Reuse:
        """Return the same for what has to be of one numerics class."""
        return replace(self, numerics=STRICT)


WHAT_FITS = Reuse()
"""Take over what was made in the same way; replace nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of an extractor over a corpus: what is computed, how, by which runner, and where.

    Extraction, direct tokenization and sampling, forecasts, certificates and stability take one.

    Args:
        corpus: whose audio is computed.
        definition: of the features.
        computing: device, threads, and seconds of audio together.
        runner: spreads the shards over workers.
        budget: of failures.
        work: folder for finished shards until all are published, in a folder of the run's own.
        keep_work: leave that, as second names of the published shards, until
            `featbank.engine.work.drop_published` finds them safe elsewhere.
        advance: told the seconds of audio done.
        task_s: seconds of audio that a worker computes before it has finished something; None for
            what suits the run. It changes no byte.

    Raises:
        ConfigError: `task_s` is out of its range.
    """

    corpus: PreparedCorpus
    definition: FeatureDefinition
    computing: Computing = ON_CPU
    runner: Runner
    budget: Budget
    work: Path
    keep_work: bool = False
    advance: Advance = lambda _: None
    task_s: float | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        if self.task_s is not None and not 0 < self.task_s < math.inf:
            raise ConfigError("task_s", expected="more than 0 seconds", got=self.task_s)

    def of_sample(self, manifests: Path, work: Path) -> Run:
        """Return the run over a sample of the corpus, which leaves nothing behind.

        Args:
            manifests: of the sample.
            work: folder for its finished shards.
        """
        corpus = replace(self.corpus, manifests=manifests)
        return replace(self, corpus=corpus, work=work, keep_work=False)
