"""Choices: which corpora, features, samples, codebooks and tokens the pipeline makes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated

from pydantic import Field

from featbank.errors import ConfigError
from featbank.pipeline.schema import Name, Seed, section, value

PARAMS = Path("params.yaml")
"""The choices, read from the folder the stage is run in."""

_STORED = "the feature's own name, or that of one of its stores: wavlm-l9 of wavlm"


@section
class SampleChoice:
    """Choice of a sample: pinned utterances of a corpus that codebooks are fitted on."""

    fit_on: Annotated[Name, value("the sample: the corpus, or what joins several of them")]
    corpus: Annotated[Name, value("of the utterances")]
    feature: Annotated[Name, value("of theirs")]
    stored: Annotated[Name, value("which of its features", told=_STORED)]


@section
class CodebookChoice:
    """Choice of a codebook, fitted once for all corpora."""

    fit_on: Annotated[Name, value("the sample that it is fitted on")]
    feature: Annotated[Name, value("whose frames it is fitted on")]
    stored: Annotated[Name, value("which of its features", told=_STORED)]
    codebook: Annotated[Name, value("the tokenizer whose k-means it is")]

    @property
    def fitted(self) -> tuple[str, str, str, str]:
        """Sample, definition, stored feature and k-means, which tokens name, too."""
        return self.fit_on, self.feature, self.stored, self.codebook


@section
class TokenChoice:
    """Choice of tokens, made of every corpus."""

    feature: Annotated[Name, value("that they are made of")]
    stored: Annotated[Name, value("which of its features", told=_STORED)]
    tokenizer: Annotated[Name, value("that makes them")]
    codebook: Annotated[Name, value("the tokenizer whose k-means it uses")]
    fit_on: Annotated[Name, value("the sample that the codebook is fitted on")]

    @property
    def name(self) -> str:
        """Name of the stores: `mfcc-kmeans100`, `wavlm-l9-kmeans100`."""
        return f"{self.stored}-{self.tokenizer}"

    @property
    def fitted(self) -> tuple[str, str, str, str]:
        """Its codebook: sample, definition, stored feature and k-means."""
        return self.fit_on, self.feature, self.stored, self.codebook


@section
class Choices:
    """All choices of params.yaml: what the pipeline makes of every corpus."""

    corpora: Annotated[
        Sequence[Name], Field(min_length=1), value("in conf/corpus", told="a list: [demo]")
    ]
    features: Annotated[Sequence[Name], value("stores of features", told="a list: [fbank, mfcc]")]
    samples: Annotated[Mapping[str, SampleChoice], value("of stored features, by stage name")]
    samples_from_audio: Annotated[Mapping[str, SampleChoice], value("straight from audio")]
    codebooks: Annotated[Mapping[str, CodebookChoice], value("by stage name")]
    tokens: Annotated[Sequence[TokenChoice], value("of stored features", told="a list of entries")]
    tokens_from_audio: Annotated[
        Sequence[TokenChoice], value("straight from audio", told="a list of entries")
    ]
    seed: Annotated[Seed, value("of samples and fits")]

    @property
    def all_tokens(self) -> list[TokenChoice]:
        """Token choices: of stored features, then those straight from audio."""
        return [*self.tokens, *self.tokens_from_audio]

    @property
    def all_samples(self) -> list[SampleChoice]:
        """Sample choices: of stored features, then those straight from audio."""
        return [*self.samples.values(), *self.samples_from_audio.values()]

    @property
    def entries(self) -> Sequence[tuple[str, SampleChoice | CodebookChoice | TokenChoice]]:
        """All samples, codebooks and tokens, each behind where it stands: `tokens.0`."""
        groups: Mapping[str, Iterable[tuple[object, SampleChoice | CodebookChoice | TokenChoice]]]
        groups = {
            "samples": self.samples.items(),
            "samples_from_audio": self.samples_from_audio.items(),
            "codebooks": self.codebooks.items(),
            "tokens": enumerate(self.tokens),
            "tokens_from_audio": enumerate(self.tokens_from_audio),
        }
        return [(f"{name}.{at}", one) for name, some in groups.items() for at, one in some]

    @property
    def stores(self) -> list[str]:
        """The stores of each corpus: `features/<feature>` and `tokens/<stored>-<tokenizer>`."""
        return [
            *(f"features/{feature}" for feature in self.features),
            *(f"tokens/{one.name}" for one in self.all_tokens),
        ]

    @property
    def options(self) -> Mapping[str, Sequence[str]]:
        """The options of conf/ that are chosen, by group."""
        samples, codebooks, tokens = self.all_samples, self.codebooks.values(), self.all_tokens
        return {
            "corpus": [*self.corpora, *(one.corpus for one in samples)],
            "feature": [*self.features, *(one.feature for _, one in self.entries)],
            "tokenizer": [
                *(one.codebook for one in codebooks),
                *(one.codebook for one in tokens),
                *(one.tokenizer for one in tokens),
            ],
        }

    @property
    def samples_named(self) -> Sequence[str]:
        """The `fit_on` of all entries."""
        return [one.fit_on for _, one in self.entries]

    def stored_of(self, feature: str) -> str:
        """Return the stored feature that tokens are made of by default: as chosen, else the first.

        The first of a definition's stores goes by the definition's name.
        """
        chosen: list[SampleChoice | CodebookChoice | TokenChoice]
        chosen = [*self.all_tokens, *self.codebooks.values(), *self.all_samples]
        return next((one.stored for one in chosen if one.feature == feature), feature)

    def fitted_on(self, feature: str, stored: str, tokenizer: str, codebook: str) -> str:
        """Return the sample that a codebook is fitted on by default.

        As chosen for these tokens, else for this codebook, else for others of the feature; else the
        first corpus.
        """
        of_feature = [one for one in self.all_tokens if one.feature == feature]
        codebooks = [one for one in self.codebooks.values() if one.feature == feature]
        found = [
            *(
                one.fit_on
                for one in of_feature
                if (one.stored, one.tokenizer) == (stored, tokenizer)
            ),
            *(one.fit_on for one in codebooks if (one.stored, one.codebook) == (stored, codebook)),
            *(one.fit_on for one in of_feature),
            *(one.fit_on for one in codebooks),
        ]
        return found[0] if found else self.corpora[0]

    def sampled_as(self, corpus: str, stored: str) -> str:
        """Return the sample that utterances of a corpus are chosen for; else that of the corpus."""
        chosen = self.all_samples
        exact = [one.fit_on for one in chosen if (one.corpus, one.stored) == (corpus, stored)]
        return next(iter(exact), corpus)

    def faults(self) -> Iterator[ConfigError]:
        """Yield choices that point at nothing, and those whose outputs would collide."""
        for group, names in self.options.items():
            yield from _alike(group, names)
        yield from _alike("fit_on", self.samples_named)
        yield from _alike("stored", [one.stored for _, one in self.entries])
        yield from self._collisions()
        yield from self._strangers()
        yield from self._lacking()

    def _collisions(self) -> Iterator[ConfigError]:
        """Give choices whose outputs or stages would have one name."""
        yield from _repeated("corpora", self.corpora)
        yield from _repeated("features", self.features)
        yield from _repeated("tokens and tokens_from_audio", (one.name for one in self.all_tokens))
        yield from _repeated(
            "samples and samples_from_audio",
            (f"{one.fit_on}/{one.stored}/{one.corpus}" for one in self.all_samples),
        )
        yield from _repeated(
            "codebooks",
            (f"{one.fit_on}/{one.stored}-{one.codebook}" for one in self.codebooks.values()),
        )
        # DVC drops all but the last of such stages, and says nothing
        pairs = product(dict.fromkeys(self.corpora), dict.fromkeys(self.features))
        joined = (f"{corpus}-{feature}" for corpus, feature in pairs)
        yield from _repeated("corpora and features", joined, "pairs that joined by - differ")

    def _strangers(self) -> Iterator[ConfigError]:
        """Give entries of corpora, features and stored features that are not chosen, or not so."""
        for where, one in self.entries:
            if isinstance(one, SampleChoice):
                yield from _pointing(f"{where}.corpus", one.corpus, self.corpora, "corpora")
            if where.startswith(("samples.", "tokens.")):
                yield from _pointing(f"{where}.feature", one.feature, self.features, "features")
            if one.stored != one.feature and not one.stored.startswith(f"{one.feature}-"):
                told = f"{one.feature}, or the name of a store that begins with {one.feature}-"
                yield ConfigError(f"{PARAMS}: {where}.stored", expected=told, got=one.stored)

    def _lacking(self) -> Iterator[ConfigError]:
        """Give codebooks without their sample, and tokens without their codebook."""
        sampled = {(one.fit_on, one.feature, one.stored) for one in self.all_samples}
        for name, one in self.codebooks.items():
            if (one.fit_on, one.feature, one.stored) not in sampled:
                told = f"feature: {one.feature}, stored: {one.stored}"
                yield ConfigError(
                    f"{PARAMS}: codebooks.{name}",
                    expected=f"its sample, {one.fit_on} of {one.stored}, among samples",
                    got="none",
                    hint=f"add {{fit_on: {one.fit_on}, corpus: CORPUS, {told}}}",
                )
        fitted = [one.fitted for one in self.codebooks.values()]
        for where, entry in self.entries:
            if isinstance(entry, TokenChoice) and entry.fitted not in fitted:
                told = f"feature: {entry.feature}, stored: {entry.stored}"
                yield ConfigError(
                    f"{PARAMS}: {where}",
                    expected=f"its codebook, {entry.stored}-{entry.codebook} of {entry.fit_on}, "
                    "among codebooks",
                    got="none",
                    hint=f"add {{fit_on: {entry.fit_on}, {told}, codebook: {entry.codebook}}}",
                )


def _repeated(where: str, names: Iterable[str], told: str = "each once") -> Iterator[ConfigError]:
    for name, number in Counter(names).items():
        if number > 1:
            yield ConfigError(f"{PARAMS}: {where}", expected=told, got=f"{name} {number} times")


def _alike(what: str, names: Iterable[str]) -> Iterator[ConfigError]:
    """Give names that are one folder on a disk that does not tell A from a."""
    spelled: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        spelled.setdefault(name.casefold(), []).append(name)
    for alike in spelled.values():
        if len(alike) > 1:
            yield ConfigError(
                f"{PARAMS}: {what}",
                expected="names that differ in more than the case of letters",
                got=", ".join(alike),
            )


def _pointing(where: str, name: str, chosen: Sequence[str], group: str) -> Iterator[ConfigError]:
    if name not in chosen:
        yield ConfigError(
            f"{PARAMS}: {where}",
            expected=f"one of {group}: {', '.join(chosen)}",
            got=name,
            hint=f"add it to {group}, or take this entry out",
        )
