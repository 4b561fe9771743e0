"""What a definition in conf/ names: classes, of featbank or outside, and other definitions."""

from __future__ import annotations

import hashlib
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
    return frozenset(
        name for text in _definitions(file).values() for name in _named(yaml.safe_load(text))
    )


def made_of(file: Path) -> frozenset[str]:
    """Return what the other definitions say that a definition is made of; no comment counts.

    DVC tracks the values of the definition itself alone.

    Raises:
        ConfigError: it is no YAML.
    """
    others = {one: text for one, text in _definitions(file).items() if one != file}
    return frozenset(f"{one.stem} {_values_digest(text)}" for one, text in others.items())


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


def _definitions(file: Path) -> dict[Path, bytes]:
    """Read a definition, and other options of its group: `defaults: [mfcc, _self_]`."""
    found: dict[Path, bytes] = {}
    waiting = [file]
    while waiting:
        one = waiting.pop()
        try:
            found[one] = read_regular(one, _MAX_BYTES)
            said = yaml.safe_load(found[one])
        except (OSError, yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
            got = str(error).splitlines()[0]
            raise ConfigError(str(one), expected="YAML", got=got) from error
        entries = said.get("defaults") if isinstance(said, dict) else None
        for entry in entries if isinstance(entries, list) else ():
            other = one.with_name(f"{str(entry).removesuffix('.yaml')}.yaml")
            if isinstance(entry, str) and entry != "_self_" and other not in found:
                waiting += [other] if other.is_file() else []
    return found


def _values_digest(text: bytes) -> str:
    # of events, for values may be far longer than the text, by its aliases
    events = [
        [
            type(event).__name__,
            *(str(getattr(event, key, "")) for key in ("anchor", "tag", "implicit", "value")),
        ]
        for event in yaml.parse(text, Loader=yaml.SafeLoader)
    ]
    return hashlib.sha256(json.dumps(events).encode()).hexdigest()


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
