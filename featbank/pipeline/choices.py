"""Reading of params.yaml, and the resolvers by which conf/ refers to its choices."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from featbank.base.folder_names import check_name
from featbank.base.nearest import did_you_mean
from featbank.errors import ConfigError, InvalidConfigError
from featbank.files.opening import instead_of_file
from featbank.pipeline.chosen import PARAMS, Choices
from featbank.pipeline.composition.conf_files import read_yaml, resolve_by
from featbank.pipeline.described import Described, adapter

_TYPED = {"features.0": "feature", "corpora.0": "corpus", "codebooks.0.codebook": "tokenizer"}
"""What stands on a command line in place of a choice, where it has another name."""


_LONGEST = 200  # characters of a value that is told


def _misfit(found: ErrorDetails) -> ConfigError:
    """Say what is of another form than the schema has it."""
    schema, steps = Described.of(Choices), found["loc"]
    where = ": ".join(filter(None, (str(PARAMS), ".".join(map(str, steps)))))
    if found["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        around = schema.at(steps[:-1])
        keys = around.keys if around else ()
        return ConfigError(
            where,
            expected=f"one of {', '.join(keys)}",
            got="a key that nothing reads",
            hint=did_you_mean(str(steps[-1]), keys, "take it out"),
        )
    got = "none" if found["type"] == "missing" else repr(found["input"])[:_LONGEST]
    told = schema.at(steps)
    return ConfigError(where, expected=told.told if told else found["msg"], got=got)


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
    """Return the chosen stores: `features/<feature>` and `tokens/<stored>-<tokenizer>`.

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


def refuse_misnamed(only: str, chosen: Sequence[str], stores: Path) -> None:
    """Refuse the name of a choice that is mistyped: no stores are there, and a chosen one is near.

    Args:
        only: as it is typed: `features/fbank`.
        chosen: names of the choices of params.yaml.
        stores: folder of those that are typed.

    Raises:
        ConfigError: it is.
    """
    near = did_you_mean(only, chosen, before="only=")
    if near and only not in chosen and not stores.exists():
        raise ConfigError("only", expected=f"stores in {stores}", got="none", hint=near)


def _read() -> Any:
    if (got := instead_of_file(PARAMS)) is not None:
        raise ConfigError(
            f"{PARAMS} in {Path.cwd()}",
            expected="a file",
            got=got,
            hint="run from the root of the project; featbank init DIR lays one down",
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
    "stored_of": lambda feature: read_choices().stored_of(str(feature)),
    "sampled_as": lambda *names: read_choices().sampled_as(*map(str, names)),
}


def _resolve_choices() -> None:
    for name, resolver in _RESOLVERS.items():
        resolve_by(name, resolver)


_resolve_choices()
