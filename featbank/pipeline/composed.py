"""What Hydra has composed for a stage, checked before the stage begins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError

from featbank.base.trusted import check_modules, check_type
from featbank.errors import ConfigError
from featbank.pipeline.definitions import NAMED_GROUPS, check_definition
from featbank.pipeline.scalars import check_scalars

CONF = Path("conf")
"""The definitions, read from the folder the stage is run in."""

_CHECKED_STEPS = {"corpus": 1, "runner": 1, "feature": 2, "tokenizer": 2}
"""How much of a typed key must be known; behind it are arguments, which classes check."""

_TYPES: dict[str, Any] = {
    "batch_s": float | None,
    "break_lock": bool,
    "device": str,
    "hours": float,
    "max_failures": float,
    "max_s": float,
    "num_threads": int,
    "numerics": str,
    "only": str | None,
    "overwrite": bool,
    "pin": bool,
    "pins": str,
    "preflight": bool,
    "recompute": int,
    "seed": int,
    "source": str,
    "strict": bool,
    "utterances": int,
}

_MOST: dict[str, int] = {
    "batch_s": 86_400,
    "hours": 10_000_000,
    "max_s": 86_400,
    "num_threads": 1024,
    "recompute": 10_000_000,
    "seed": (1 << 63) - 1,
    "utterances": 10_000_000,
}
"""What is no sane number any more: a library would end the process, or wait for years."""

_SECTIONS: dict[str, Any] = {"certificate": float, "held_out": int, "paths": str, "runtime": str}
"""The type of what stands in a part of the configuration."""


def check_config(config: DictConfig) -> None:
    """Refuse what the stage does not read, values of another type, and incomplete definitions.

    Raises:
        ConfigError: there is one.
    """
    _refuse_unknown()
    check_scalars(OmegaConf.to_container(config, resolve=False))
    _check_values(config)
    _check_definitions(config)


def in_one_line(error: Exception) -> ConfigError:
    """Say what Hydra or OmegaConf found wrong, by the key that it is about."""
    said = (str(error).splitlines() or [type(error).__name__])[0]
    key = getattr(error, "full_key", None)
    if key is None:
        return ConfigError(said)
    if isinstance(error, (ConfigAttributeError, ConfigKeyError)):
        return ConfigError(str(key), expected="a value", got=f"none in {_file(key.split('.')[0])}")
    return ConfigError(str(key), expected="a value", got=said)


def chosen_groups() -> dict[str, str]:
    """Return the options of conf/ that are composed, by group."""
    choices = HydraConfig.get().runtime.choices
    return {group: option for group, option in choices.items() if "hydra" not in group}


def composed_again(groups: Mapping[str, str]) -> DictConfig:
    """Compose the stage again, with these options and nothing else that is typed."""
    name = HydraConfig.get().job.config_name
    return compose(name, [f"{group}={option}" for group, option in groups.items()])


def key_of(override: str) -> str:
    """Return the key of what is typed: corpus.name of +corpus.name=demo."""
    return override.lstrip("+~").split("=")[0]


def plain(node: Any) -> Any:
    """Return a configuration node as plain values, interpolations resolved."""
    if not OmegaConf.is_config(node):
        return node
    return OmegaConf.to_container(node, resolve=True, throw_on_missing=True)


def _check_values(config: DictConfig) -> None:
    """Refuse values of another type, before any work begins.

    Raises:
        ConfigError: there is one.
    """
    for key, kind in _TYPES.items():
        if key in config:
            check_type(config[key], kind, key)
            if key in _MOST and config[key] is not None and not 0 <= config[key] <= _MOST[key]:
                raise ConfigError(key, expected=f"from 0 to {_MOST[key]:g}", got=config[key])
    for section, kind in _SECTIONS.items():
        if section not in config:
            continue
        values = config[section]
        if not isinstance(values, DictConfig):
            raise ConfigError(section, expected="values by name", got=repr(values))
        # paths as they are written: no stage has all that they name
        found: Any = OmegaConf.to_container(values, resolve=section != "paths")
        for key, value in found.items():
            check_type(value, bool | None if key == "progress" else kind, f"{section}.{key}")
    check_modules(plain(config.get("trusted_modules")))


def _check_definitions(config: DictConfig) -> None:
    """Refuse options that lack something, before any work begins.

    Raises:
        ConfigError: there is one, or several of a group are chosen.
    """
    for group in NAMED_GROUPS:
        if group in config:
            if group not in chosen_groups():
                raise ConfigError(group, expected="one option", got="several")
            check_definition(config, group, _file(group))


def _refuse_unknown() -> None:
    """Refuse a value typed with + for a key that the stage does not read, as Hydra advises.

    Raises:
        ConfigError: there is one.
    """
    hydra = HydraConfig.get()
    typed = {key_of(text): text for text in hydra.overrides.task if text.startswith("+")}
    if not typed:
        return
    groups = {group: option for group, option in chosen_groups().items() if group not in typed}
    defined = OmegaConf.to_container(composed_again(groups))
    known = set(_dotted_keys(defined))
    for key, text in typed.items():
        steps = key.split(".")
        if ".".join(steps[: _CHECKED_STEPS.get(steps[0])]) in known:
            continue
        if steps[0] in NAMED_GROUPS and steps[0] not in known:
            raise ConfigError(
                text,
                expected=f"nothing of {steps[0]}, for {hydra.job.config_name} goes by the "
                f"definitions in conf/{steps[0]}",
                hint="write the value into one of its own there",
            )
        names = {name.rpartition(".")[2]: name for name in known}
        near = get_close_matches(steps[-1], names, n=1)
        raise ConfigError(
            text,
            expected=f"a value that {hydra.job.config_name} takes",
            got="an option that there is not",
            hint=f"did you mean {names[near[0]]}?" if near else "--help lists them",
        )


def _dotted_keys(node: Any, before: str = "") -> Iterator[str]:
    """Give the keys of a configuration at all depths: runner, runner.num_workers."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield f"{before}{key}"
            yield from _dotted_keys(value, f"{before}{key}.")


def _file(group: str) -> Path:
    """Return the file of conf/ that defines a group, or the one of the stage for what has none."""
    hydra = HydraConfig.get()
    option = hydra.runtime.choices.get(group)
    return CONF / (f"{hydra.job.config_name}.yaml" if option is None else f"{group}/{option}.yaml")
