"""What a definition in conf/ must have."""

from __future__ import annotations

import functools
from contextlib import suppress
from typing import Any

from hydra.core.utils import setup_globals
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from omegaconf.resolvers import oc

from featbank.base.trusted import check_name, check_type
from featbank.errors import ConfigError

REQUIRED_KEYS = {
    "corpus": ("_target_", "name", "root"),
    "feature": ("name", "extractor", "storage"),
    "tokenizer": ("name", "kmeans", "imported", "merge_repeats", "shard_bytes"),
}
"""By group; none has a default: dvc.yaml tracks them by name, and DVC runs nothing without them."""

_TYPES: dict[str, Any] = {"root": str, "merge_repeats": bool, "shard_bytes": int}

_SURROUNDINGS = ("oc.env", "now", "hydra", "python_version")
"""Resolvers of what is outside of the configuration."""

NAMED_GROUPS = tuple(REQUIRED_KEYS)
"""The groups of conf/ whose options name outputs."""


def check_definition(config: DictConfig, group: str, file: object) -> None:
    """Refuse an option that lacks what stages read of it, before any of them begins.

    Args:
        config: composed with the option.
        group: of the option: corpus, feature or tokenizer.
        file: that holds its definition, for errors.

    Raises:
        ConfigError: a key is missing, or its value is of another kind.
    """
    found, keys = config[group], REQUIRED_KEYS[group]
    missing = [key for key in keys if key not in found] if isinstance(found, DictConfig) else keys
    if missing:
        raise ConfigError(
            f"{group} of {file}",
            expected=f"the keys {', '.join(keys)}",
            got=f"no {', '.join(missing)}",
        )
    _refuse_surroundings(config, group)
    check_name(found.name, f"{group}.name")
    for key in keys:
        if key in _TYPES:
            check_type(found[key], _TYPES[key], f"{group}.{key}")
    if group == "feature":
        _check_feature(found)
    if group == "tokenizer" and found.imported is None and not isinstance(found.kmeans, DictConfig):
        raise ConfigError(
            "tokenizer.kmeans",
            expected="settings of k-means, or tokenizer.imported in their place",
            got=repr(found.kmeans),
        )


def _refuse_surroundings(config: DictConfig, group: str) -> None:
    """Refuse what reads the environment, the time or Hydra: it would differ between machines.

    Where a corpus lies is in no output, and may.

    Raises:
        ConfigError: a value of the group does, or is made of one that does.
    """
    again: Any = OmegaConf.create(OmegaConf.to_container(config, resolve=False))
    asked: list[str] = []
    for name in _SURROUNDINGS:
        note = functools.partial(_note, asked, name)
        OmegaConf.register_new_resolver(name, note, replace=True)
    try:
        for key in again[group]:
            if key == "root":
                continue
            with suppress(
                OmegaConfBaseException
            ):  # which the stage tells, where it needs the value
                value = again[group][key]
                if OmegaConf.is_config(value):
                    OmegaConf.to_container(value, resolve=True)
            if asked:
                raise ConfigError(
                    f"{group}.{key}",
                    expected="a value that is the same on every machine",
                    got=f"an interpolation of {asked[0]}",
                )
    finally:
        OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)
        setup_globals()


def _note(asked: list[str], name: str, *_arguments: Any) -> str:
    asked.append(name)
    return ""


def _check_feature(feature: DictConfig) -> None:
    if not isinstance(feature.extractor, DictConfig) or "_target_" not in feature.extractor:
        raise ConfigError(
            "feature.extractor", expected="_target_ and its arguments", got=repr(feature.extractor)
        )
    entries = feature.storage
    if not (
        isinstance(entries, ListConfig)
        and entries
        and all(isinstance(entry, DictConfig) and "name" in entry for entry in entries)
    ):
        raise ConfigError(
            "feature.storage",
            expected="a list of one entry a feature name: [{name: fbank, dtype: float32}]",
            got=repr(entries),
        )
    for entry in entries:
        check_name(entry.name, "feature.storage: name")


def stored_names(config: DictConfig) -> list[str]:
    """Return the names of the features that the chosen extractor gives, as `storage` lists them."""
    return [str(entry.name) for entry in config.feature.storage]


def told_choice(config: DictConfig, chosen: str) -> str:
    """Name the feature that tokens are made of for a log line, where there are others."""
    others = ", ".join(name for name in stored_names(config) if name != chosen)
    return f" of {chosen}; storage names {others}, too" if others else ""
