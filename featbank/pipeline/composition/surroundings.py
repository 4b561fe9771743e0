"""Check that a definition does not follow from environment, time or a machine's folders."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from hydra.core.utils import setup_globals
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from omegaconf.resolvers import oc

from featbank.errors import ConfigError
from featbank.pipeline.faults import Fault

_SURROUNDINGS = ("oc.env", "now", "hydra", "python_version")
"""Resolvers of what is outside of the configuration."""


def surroundings_in(config: DictConfig, group: str) -> Iterator[Fault]:
    """Find the values of a definition that would differ between machines.

    Where a corpus lies is in no output, and may.

    Args:
        config: composed with the definition.
        group: of the definition.
    """
    again: Any = OmegaConf.create(OmegaConf.to_container(config, resolve=False))
    asked: list[str] = []
    for name in _SURROUNDINGS:
        note = functools.partial(_note, asked, name)
        OmegaConf.register_new_resolver(name, note, replace=True)
    try:
        for key in again[group] if isinstance(again.get(group), DictConfig) else ():
            if key == "root":
                continue
            with suppress(OmegaConfBaseException):  # which is told where the value is read
                value = again[group][key]
                if OmegaConf.is_config(value):
                    OmegaConf.to_container(value, resolve=True)
            if asked:
                error = ConfigError(
                    f"{group}.{key}",
                    expected="a value that is the same on every machine",
                    got=f"an interpolation of {asked[0]}",
                )
                yield Fault(place=f"{group}.{key}", error=error)
                asked.clear()
    finally:
        OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)
        setup_globals()


def _note(asked: list[str], name: str, *_arguments: Any) -> str:
    asked.append(name)
    return ""
