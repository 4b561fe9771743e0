"""The choices of params.yaml: which corpus, features and tokens this pipeline computes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from pydantic import ValidationError

from featbank.base.trusted import check_name
from featbank.errors import ConfigError, InvalidConfigError
from featbank.files.opening import instead_of_file
from featbank.pipeline.composition.conf_files import read_yaml, resolve_by
from featbank.pipeline.described import Described, adapter
from featbank.pipeline.schema import Name, Seed, part, value

PARAMS = Path("params.yaml")
"""The choices, read from the folder the stage is run in."""


@part
class TokenChoice:
    """Tokens of a feature."""

    feature: Annotated[Name, value("that they are made of")]
    tokenizer: Annotated[Name, value("that makes them")]

    @property
    def name(self) -> str:
        """What the stores are named: `mfcc-kmeans100`."""
        return f"{self.feature}-{self.tokenizer}"


@part
class Choices:
    """What a pipeline makes."""

    corpus: Annotated[Name, value("of conf/corpus", told="the name of one")]
    features: Annotated[Sequence[Name], value("of conf/feature", told="a list: [fbank, mfcc]")]
    tokens: Annotated[
        Mapping[Name, TokenChoice], value("of stored features", told="entries by stage name")
    ]
    tokens_from_audio: Annotated[
        Mapping[Name, TokenChoice], value("straight from audio", told="entries by stage name")
    ]
    seed: Annotated[Seed, value("of samples and fits")]

    @property
    def all_tokens(self) -> list[TokenChoice]:
        """Those of stored features, then those straight from audio."""
        return [*self.tokens.values(), *self.tokens_from_audio.values()]

    @property
    def stores(self) -> list[str]:
        """The stores: `features/<feature>` and `tokens/<feature>-<tokenizer>`."""
        return [
            *(f"features/{feature}" for feature in self.features),
            *(f"tokens/{one.name}" for one in self.all_tokens),
        ]

    @property
    def options(self) -> Mapping[str, Sequence[str]]:
        """The options of conf/ that are chosen, by group."""
        tokens = self.all_tokens
        return {
            "corpus": [self.corpus],
            "feature": [*self.features, *(one.feature for one in tokens)],
            "tokenizer": [one.tokenizer for one in tokens],
        }

    def faults(self) -> Iterator[ConfigError]:
        """Give what points at nothing, and what would take the place of something else."""
        yield from _repeated("features", self.features)
        yield from _repeated("tokens and tokens_from_audio", (one.name for one in self.all_tokens))
        for name, one in self.tokens.items():
            if one.feature not in self.features:
                yield ConfigError(
                    f"{PARAMS}: tokens.{name}.feature",
                    expected=f"one of features: {', '.join(self.features)}",
                    got=one.feature,
                    hint="add it to features, or move the entry to tokens_from_audio",
                )


def read_choices() -> Choices:
    """Read params.yaml.

    Raises:
        ConfigError: it is no YAML, or there is none here.
        InvalidConfigError: all that is wrong with it.
    """
    said = _read()
    try:
        choices: Choices = adapter(Choices).validate_json(json.dumps(said))
    except ValidationError as error:
        schema = Described.of(Choices)
        raise InvalidConfigError(
            [
                _fault(one["loc"], one["type"], one["input"], schema.at(one["loc"]))
                for one in error.errors(include_url=False)
            ]
        ) from error
    if faults := list(choices.faults()):
        raise InvalidConfigError(faults)
    return choices


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
            option = {"features.0": "feature"}.get(key, key.rpartition(".")[2])
            raise ConfigError(
                f"{PARAMS}: {key}",
                expected="a choice",
                got=f"no {step!r}",
                hint=f"add it there, or type {option}=..." if "." in key else "add it there",
            ) from error
    return node


def chosen_stores() -> list[str]:
    """Return what params.yaml chooses: `features/<feature>` and `tokens/<feature>-<tokenizer>`.

    Raises:
        ConfigError: as of `read_choices`.
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


def _fault(
    steps: Sequence[str | int], kind: str, found: object, described: Described | None
) -> ConfigError:
    place = ".".join(map(str, steps))
    where = f"{PARAMS}: {place}"
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        keys = Described.of(TokenChoice if "." in place else Choices).keys
        near = get_close_matches(place.rpartition(".")[2], keys, n=1)
        return ConfigError(
            where,
            expected=f"one of {', '.join(keys)}",
            got="a key that nothing reads",
            hint=f"did you mean {near[0]}?" if near else "take it out",
        )
    return ConfigError(
        where,
        expected=described.told if described else "a name",
        got="none" if kind == "missing" else "null" if found is None else repr(found)[:200],
    )


def _repeated(where: str, names: Iterable[str]) -> Iterator[ConfigError]:
    for name, number in Counter(names).items():
        if number > 1:
            yield ConfigError(
                f"{PARAMS}: {where}", expected="each once", got=f"{name} {number} times"
            )


def _resolve_params(key: str) -> Any:
    try:
        found = params(key)
        if key != "seed" and not isinstance(found, str):  # it chooses an option of conf/
            raise ConfigError(f"{PARAMS}: {key}", expected="a name", got=repr(found))
        return found
    except ConfigError as error:
        # Hydra composes defaults with every exception hidden behind "error resolving interpolation"
        raise SystemExit(f"ConfigError: {error}") from error


resolve_by("params", _resolve_params)
