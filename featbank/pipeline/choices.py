"""The choices of params.yaml: which corpus, features and tokens this pipeline computes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from featbank.base.trusted import check_name
from featbank.errors import ConfigError
from featbank.files.opening import instead_of_file
from featbank.pipeline.composition.conf_files import read_yaml, resolve_by

PARAMS = Path("params.yaml")
"""The choices, read from the folder the stage is run in."""

_TOKEN_CHOICES = ("tokens", "tokens_from_audio")


def params(key: str) -> Any:
    """Resolve `${params:key}`: a choice of params.yaml.

    Steps are separated by dots; a number picks by order, from a list or a mapping.

    Raises:
        ConfigError: there is no params.yaml here, or no such choice in it.
    """
    if (got := instead_of_file(PARAMS)) is not None:
        raise ConfigError(
            f"{PARAMS} in {Path.cwd()}",
            expected="a file",
            got=got,
            hint="run from the root of the project",
        )
    node = read_yaml(PARAMS)
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
        ConfigError: the choices have another form.
    """
    features = params("features") or []
    if not isinstance(features, list):
        raise ConfigError(f"{PARAMS}: features", expected="a list: [fbank, mfcc]", got=features)
    return [
        *(f"features/{check_name(one, f'{PARAMS}: features')}" for one in features),
        *(f"tokens/{choice}" for group in _TOKEN_CHOICES for choice in _chosen_tokens(group)),
    ]


def kind_and_option(name: str) -> tuple[str, str]:
    """Split the name of a choice, which may be typed: `features/fbank` or `tokens/mfcc-kmeans100`.

    Raises:
        ConfigError: it has another form.
    """
    kind, _, option = name.partition("/")
    if kind not in ("features", "tokens"):
        raise ConfigError("only", expected="features/NAME or tokens/NAME", got=name)
    return kind, check_name(option, "only")


def _chosen_tokens(group: str) -> Iterator[str]:
    tokens = params(group) or {}
    if not isinstance(tokens, dict):
        raise ConfigError(f"{PARAMS}: {group}", expected="entries by stage name", got=tokens)
    for stage_name, choice in tokens.items():
        if not isinstance(choice, dict) or set(choice) != {"feature", "tokenizer"}:
            raise ConfigError(
                f"{PARAMS}: {group}.{stage_name}", expected="a feature and a tokenizer", got=choice
            )
        where = f"{PARAMS}: {group}.{stage_name}"
        yield "-".join(check_name(choice[key], where) for key in ("feature", "tokenizer"))


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
