"""Choices of params.yaml: which corpora, features, codebooks and tokens the pipeline makes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails

from featbank.base.trusted import check_name
from featbank.errors import ConfigError, InvalidConfigError
from featbank.files.opening import instead_of_file
from featbank.pipeline.composition.conf_files import read_yaml, resolve_by
from featbank.pipeline.described import Described, adapter
from featbank.pipeline.schema import Name, Seed, part, value

PARAMS = Path("params.yaml")
"""The choices, read from the folder the stage is run in."""

_TYPED = {"features.0": "feature", "corpora.0": "corpus", "codebooks.0.codebook": "tokenizer"}
"""What stands on a command line in place of a choice, where it has another name."""


_LONGEST = 200  # characters of a value that is told


@part
class SampleChoice:
    """Choice of a sample: pinned utterances of a corpus that codebooks are fitted on."""

    fit_on: Annotated[Name, value("the sample: the corpus, or what joins several of them")]
    corpus: Annotated[Name, value("of the utterances")]
    feature: Annotated[Name, value("of theirs")]


@part
class CodebookChoice:
    """Choice of a codebook, fitted once for all corpora."""

    fit_on: Annotated[Name, value("the sample that it is fitted on")]
    feature: Annotated[Name, value("whose frames it is fitted on")]
    codebook: Annotated[Name, value("the tokenizer whose k-means it is")]


@part
class TokenChoice:
    """Choice of tokens, made of every corpus."""

    feature: Annotated[Name, value("that they are made of")]
    tokenizer: Annotated[Name, value("that makes them")]
    codebook: Annotated[Name, value("the tokenizer whose k-means it uses")]
    fit_on: Annotated[Name, value("the sample that the codebook is fitted on")]

    @property
    def name(self) -> str:
        """Name of the stores: `mfcc-kmeans100`."""
        return f"{self.feature}-{self.tokenizer}"

    @property
    def fitted(self) -> tuple[str, str, str]:
        """The codebook: sample, feature and k-means."""
        return self.fit_on, self.feature, self.codebook


@part
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
    def stores(self) -> list[str]:
        """The stores of each corpus: `features/<feature>` and `tokens/<feature>-<tokenizer>`."""
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
            "feature": [
                *self.features,
                *(one.feature for one in samples),
                *(one.feature for one in codebooks),
                *(one.feature for one in tokens),
            ],
            "tokenizer": [
                *(one.codebook for one in codebooks),
                *(one.codebook for one in tokens),
                *(one.tokenizer for one in tokens),
            ],
        }

    @property
    def samples_named(self) -> Sequence[str]:
        """The `fit_on` of all entries."""
        return [
            *(one.fit_on for one in self.all_samples),
            *(one.fit_on for one in self.codebooks.values()),
            *(one.fit_on for one in self.all_tokens),
        ]

    def fitted_on(self, feature: str, tokenizer: str, codebook: str) -> str:
        """Return the sample that a codebook is fitted on by default.

        As chosen for these tokens, else for this codebook, else for others of the feature; else the
        first corpus.
        """
        of_feature = [one for one in self.all_tokens if one.feature == feature]
        codebooks = [one for one in self.codebooks.values() if one.feature == feature]
        found = [
            *(one.fit_on for one in of_feature if one.tokenizer == tokenizer),
            *(one.fit_on for one in codebooks if one.codebook == codebook),
            *(one.fit_on for one in of_feature),
            *(one.fit_on for one in codebooks),
        ]
        return found[0] if found else self.corpora[0]

    def sampled_as(self, corpus: str, feature: str) -> str:
        """Return the sample that utterances of a corpus are chosen for; else that of the corpus."""
        chosen = self.all_samples
        exact = [one.fit_on for one in chosen if (one.corpus, one.feature) == (corpus, feature)]
        return next(iter(exact), corpus)

    def faults(self) -> Iterator[ConfigError]:
        """Yield choices that point at nothing, and those whose outputs would collide."""
        for group, names in self.options.items():
            yield from _alike(group, names)
        yield from _alike("fit_on", self.samples_named)
        yield from _repeated("corpora", self.corpora)
        yield from _repeated("features", self.features)
        yield from _repeated("tokens and tokens_from_audio", (one.name for one in self.all_tokens))
        yield from _repeated(
            "samples and samples_from_audio",
            (f"{one.fit_on}/{one.feature}/{one.corpus}" for one in self.all_samples),
        )
        yield from _repeated(
            "codebooks",
            (f"{one.fit_on}/{one.feature}-{one.codebook}" for one in self.codebooks.values()),
        )
        # DVC drops all but the last of such stages, and says nothing
        pairs = product(dict.fromkeys(self.corpora), dict.fromkeys(self.features))
        joined = (f"{corpus}-{feature}" for corpus, feature in pairs)
        yield from _repeated("corpora and features", joined, "pairs that joined by - differ")
        for name, sample in self.samples.items():
            yield from _pointing(f"samples.{name}.corpus", sample.corpus, self.corpora, "corpora")
            yield from _pointing(
                f"samples.{name}.feature", sample.feature, self.features, "features"
            )
        for name, sample in self.samples_from_audio.items():
            where = f"samples_from_audio.{name}.corpus"
            yield from _pointing(where, sample.corpus, self.corpora, "corpora")
        sampled = {(one.fit_on, one.feature) for one in self.all_samples}
        for name, fit in self.codebooks.items():
            if (fit.fit_on, fit.feature) not in sampled:
                fit_on, feature = fit.fit_on, fit.feature
                yield _fault(
                    f"codebooks.{name}",
                    f"its sample, {fit_on} of {feature}, among samples",
                    f"add {{fit_on: {fit_on}, corpus: CORPUS, feature: {feature}}}",
                )
        fitted = {(one.fit_on, one.feature, one.codebook) for one in self.codebooks.values()}
        for group in ("tokens", "tokens_from_audio"):
            for number, one in enumerate(getattr(self, group)):
                where = f"{group}.{number}"
                if group == "tokens":
                    yield from _pointing(f"{where}.feature", one.feature, self.features, "features")
                if one.fitted not in fitted:
                    fit_on, feature, codebook = one.fitted
                    yield _fault(
                        where,
                        f"its codebook, {feature}-{codebook} of {fit_on}, among codebooks",
                        f"add {{fit_on: {fit_on}, feature: {feature}, codebook: {codebook}}}",
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


def _misfit(found: ErrorDetails) -> ConfigError:
    """Say what is of another form than the schema has it."""
    schema, steps = Described.of(Choices), found["loc"]
    where = ": ".join(filter(None, (str(PARAMS), ".".join(map(str, steps)))))
    if found["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        around = schema.at(steps[:-1])
        keys = around.keys if around else ()
        near = get_close_matches(str(steps[-1]), keys, n=1)
        return ConfigError(
            where,
            expected=f"one of {', '.join(keys)}",
            got="a key that nothing reads",
            hint=f"did you mean {near[0]}?" if near else "take it out",
        )
    got = "none" if found["type"] == "missing" else repr(found["input"])[:_LONGEST]
    told = schema.at(steps)
    return ConfigError(where, expected=told.told if told else found["msg"], got=got)


def _fault(where: str, expected: str, hint: str) -> ConfigError:
    return ConfigError(f"{PARAMS}: {where}", expected=expected, got="none", hint=hint)


def read_choices() -> Choices:
    """Read params.yaml.

    Raises:
        ConfigError: there is no params.yaml here, or it is no YAML.
        InvalidConfigError: all that is wrong with it.
    """
    choices = formed_choices()
    if faults := list(choices.faults()):
        raise InvalidConfigError(faults)
    return choices


def formed_choices() -> Choices:
    """Read params.yaml and check its form, but not what the choices point at.

    Raises:
        ConfigError: there is no params.yaml here, or it is no YAML.
        InvalidConfigError: all that is of another form.
    """
    said = _read()
    faults = list(_misnamed(said))
    try:
        # what is of no JSON is text, which no choice is like
        choices: Choices = adapter(Choices).validate_json(
            json.dumps(said, default=repr, skipkeys=True)
        )
    except ValidationError as error:
        faults += map(_misfit, error.errors(include_url=False))
    if faults:
        raise InvalidConfigError(faults)
    return choices


def _misnamed(said: object) -> Iterator[ConfigError]:
    """Give keys of which DVC makes no stage: it drops 1 and true, and says nothing."""
    for group in ("samples", "samples_from_audio", "codebooks"):
        entries = said.get(group) if isinstance(said, dict) else None
        for key in entries if isinstance(entries, dict) else ():
            try:
                check_name(key, f"{PARAMS}: {group}: a key")
            except ConfigError as error:
                yield error


@contextmanager
def any_choices() -> Iterator[None]:
    """Let conf/ compose in a block whatever params.yaml says, to find what else is wrong."""
    for name in _RESOLVERS:
        resolve_by(name, lambda *keys: 0 if keys == ("seed",) else "any")
    try:
        yield
    finally:
        _resolve_choices()


def params(key: str) -> Any:
    """Resolve `${params:key}`: a choice of params.yaml.

    Steps are separated by dots; a number picks by order, from a list or a mapping.

    Raises:
        ConfigError: there is no params.yaml here, or no such choice in it.
    """
    node = _read()
    for step in key.split("."):
        try:
            if isinstance(node, dict):
                node = list(node.values())[int(step)] if step.isdigit() else node[step]
            else:
                node = node[int(step)]
        except (KeyError, IndexError, ValueError, TypeError) as error:
            typed = _TYPED.get(key, key.rpartition(".")[2])
            raise ConfigError(
                f"{PARAMS}: {key}",
                expected="a choice",
                got=f"no {step!r}",
                hint=f"add it there, or type {typed}=..." if "." in key else "add it there",
            ) from error
    return node


def chosen_stores() -> list[str]:
    """Return the chosen stores: `features/<feature>` and `tokens/<feature>-<tokenizer>`.

    Raises:
        InvalidConfigError: all that is wrong with it.
    """
    return read_choices().stores


def kind_and_option(name: str) -> tuple[str, str]:
    """Split the name of a choice, which may be typed: `features/fbank` or `tokens/mfcc-kmeans100`.

    Raises:
        ConfigError: it has another form.
    """
    kind, _, option = name.partition("/")
    if kind not in ("features", "tokens"):
        raise ConfigError("only", expected="features/NAME or tokens/NAME", got=name)
    return kind, check_name(option, "only")


def _read() -> Any:
    if (got := instead_of_file(PARAMS)) is not None:
        raise ConfigError(
            f"{PARAMS} in {Path.cwd()}",
            expected="a file",
            got=got,
            hint="run from the root of the project",
        )
    return read_yaml(PARAMS)


def _resolve_params(key: str) -> Any:
    try:
        found = params(key)
        if key != "seed" and not isinstance(found, str):  # it chooses an option of conf/
            raise ConfigError(f"{PARAMS}: {key}", expected="a name", got=repr(found))
        return found
    except ConfigError as error:
        # Hydra composes defaults with every exception hidden behind "error resolving interpolation"
        raise SystemExit(f"ConfigError: {error}") from error


_RESOLVERS: Mapping[str, Callable[..., Any]] = {
    "params": _resolve_params,
    "fitted_on": lambda *names: read_choices().fitted_on(*map(str, names)),
    "sampled_as": lambda *names: read_choices().sampled_as(*map(str, names)),
}


def _resolve_choices() -> None:
    for name, resolver in _RESOLVERS.items():
        resolve_by(name, resolver)


_resolve_choices()
