"""Classes that a definition in conf/ names, and their code outside of featbank."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from featbank.errors import ConfigError
from featbank.files.opening import read_regular
from featbank.pipeline.code_modules import sources_digest

_MAX_BYTES = 256 << 10


def targets(file: Path) -> frozenset[str]:
    """Return the `_target_`s of a definition, at any depth, and of those that it is made of.

    It is read as plain YAML: an interpolation stands as it is written.

    Args:
        file: `conf/GROUP/OPTION.yaml`.

    Raises:
        ConfigError: it is no YAML.
    """
    found: set[str] = set()
    waiting, seen = [file], set[Path]()
    while waiting:
        one = waiting.pop()
        seen.add(one)
        said = _read(one)
        found |= set(_named(said))
        # `defaults: [mfcc, _self_]`: other options of its group
        entries = said.get("defaults") if isinstance(said, dict) else None
        for entry in entries if isinstance(entries, list) else ():
            other = one.with_name(f"{entry}.yaml")
            if isinstance(entry, str) and entry != "_self_" and other not in seen:
                waiting += [other] if other.is_file() else []
    return frozenset(found)


@cache
def outside_version(package: str) -> str:
    """Return the version of a package's code: its version, or a digest of its sources.

    Sources count where a package is worked on: installed as editable, or a folder on `sys.path`.
    Nothing of it is imported.

    Raises:
        ConfigError: a source is no Python.
    """
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None:
        return f"{package}: not installed"
    names = metadata.packages_distributions().get(package, [])
    found = [metadata.distribution(name) for name in sorted(set(names))]
    if found and not any(_is_editable(one) for one in found):
        return ", ".join(f"{one.name} {one.version}" for one in found)
    places = [*(spec.submodule_search_locations or [spec.origin or ""])]
    return f"{package} " + " ".join(sources_digest(Path(place)) for place in places)


def _read(file: Path) -> Any:
    try:
        return yaml.safe_load(read_regular(file, _MAX_BYTES))
    except (OSError, yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        got = str(error).splitlines()[0]
        raise ConfigError(str(file), expected="YAML", got=got) from error


def _named(node: Any) -> Iterator[str]:
    # each once: an alias may stand for itself, or many times for the same
    waiting, seen = [node], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, dict):
            if isinstance(target := one.get("_target_"), str):
                yield target
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _is_editable(distribution: metadata.Distribution) -> bool:
    told = distribution.read_text("direct_url.json")
    return bool(told and json.loads(told).get("dir_info", {}).get("editable"))
