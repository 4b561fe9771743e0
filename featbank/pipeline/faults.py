"""Faults of a configuration, found all at once by its schema: one line a fault."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from featbank.base.nearest import did_you_mean, nearest
from featbank.errors import ConfigError, InvalidConfigError
from featbank.pipeline.described import Described, adapter
from featbank.pipeline.schema import EXPECTED, GOT, KEY

Config = TypeVar("Config")

_LONGEST = 200  # characters of a value that is told


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Origin of a configuration (files, command line), for messages to those who mend it.

    Args:
        stage: which it is of.
        files: of the options of conf/, by group.
        typed: on the command line, by key, such as `+corpus.url=x`.
        groups: of conf/, whose options other stages go by.
        conf: folder of the definitions.
    """

    stage: str
    files: Mapping[str, Path] = field(default_factory=dict)
    typed: Mapping[str, str] = field(default_factory=dict)
    groups: Sequence[str] = ()
    conf: Path = Path("conf")

    def file(self, key: str) -> Path:
        """Return the file that sets a key."""
        return self.files.get(key.partition(".")[0], self.conf / f"{self.stage}.yaml")


def validated(
    kind: type[Config], values: Mapping[str, object], origin: Origin, known: Iterable[Fault] = ()
) -> Config:
    """Return a configuration as an object of its schema.

    Args:
        kind: the schema.
        values: as JSON has them.
        origin: of the values.
        known: faults of the values that were found before; what follows from them is not told.

    Raises:
        InvalidConfigError: all that is wrong.
    """
    schema: Any = kind  # a class is hashable, which mypy doubts of a type variable
    found = list(known)
    made: Any = None
    try:
        made = adapter(schema).validate_json(json.dumps(values))
    except ValidationError as error:
        described, places = Described.of(schema), [one.place for one in found]
        for details in error.errors(include_url=False):
            one = _fault(details, described, values, origin)
            if not any(_is_at(one.place, place) for place in places):
                found.append(one)
    if found:
        lacking = [one.place for one in found if one.lacks]
        raise InvalidConfigError(
            [one.error for one in found if not (one.needs and _below(one.needs, lacking))]
        )
    checked: Config = made
    return checked


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of a configuration.

    Args:
        place: the key, with dots.
        error: what is said of it.
        lacks: whether nothing is there.
        needs: the key that it could not be made of.
    """

    place: str
    error: ConfigError
    lacks: bool = False
    needs: str = ""


def _fault(
    details: ErrorDetails, schema: Described, values: Mapping[str, object], origin: Origin
) -> Fault:
    steps = details["loc"]
    place = ".".join(str(step) for step in steps)
    if details["type"] == "missing":
        told = schema.at(steps)
        error = ConfigError(
            place,
            expected=told.told if told else "a value",
            got=f"none in {origin.file(place)}",
        )
        return Fault(place=place, error=error, lacks=True)
    if details["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return Fault(place=place, error=unknown_key(place, schema, values, origin))
    if details["type"] == "sections":
        about = details["ctx"]
        place = ".".join(filter(None, (place, about[KEY])))
        return Fault(
            place=place, error=ConfigError(place, expected=about[EXPECTED], got=about[GOT])
        )
    told = schema.at(steps)
    return Fault(
        place=place,
        error=ConfigError(
            place,
            expected=told.told if told else details["msg"],
            got=_shown(details["input"]),
            hint=_hint(place, details, origin),
        ),
    )


def unknown_key(
    place: str, schema: Described, values: Mapping[str, object], origin: Origin
) -> ConfigError:
    """Say what else could be meant by a key that the stage does not read."""
    where = next((text for key, text in origin.typed.items() if _is_at(key, place)), place)
    first, _, rest = place.partition(".")
    if first in origin.groups and not rest:
        return ConfigError(
            where,
            expected=f"nothing of {first}, for {origin.stage} goes by the definitions in "
            f"{origin.conf / first}",
            hint="write the value into one of its own there",
        )
    keys = [*_dotted(values), *(".".join(steps) for steps, _ in schema.walk())]
    return ConfigError(
        where,
        expected=f"a value that {origin.stage} takes",
        got="an option that there is not"
        if where != place
        else f"one in {origin.file(place)} that nothing reads",
        hint=_near_key(place, [key for key in keys if key != place], where, origin)
        or "--help lists them",
    )


def _near_key(place: str, keys: Sequence[str], typed: str, origin: Origin) -> str:
    """Ask whether the key that is near is meant: of the same section, or else of any."""
    section, _, last = place.rpartition(".")
    beside = {key.rpartition(".")[2]: key for key in keys if key.rpartition(".")[0] == section}
    anywhere = {key.rpartition(".")[2]: key for key in reversed(keys)}
    for names in (beside, anywhere):
        if near := nearest(last, names):
            key, sign, value = names[near[0]], *typed.partition("=")[1:]
            is_section = any(one.startswith(f"{key}.") for one in keys)
            told = f"{key}{sign}{value}" if not is_section or key in origin.groups else key
            return f"did you mean {told}?"
    return ""


def _hint(place: str, details: ErrorDetails, origin: Origin) -> str:
    found = details["input"]
    if found is None and "." not in place:
        return f"add {place}=..."
    if (
        details["type"] == "string_type"
        and isinstance(found, int | float)
        and place in origin.typed
    ):
        return f"quote it twice: \"{place}='...'\""  # 103_1240 is a number to YAML
    if details["type"] == "literal_error" and isinstance(found, str):
        known = details["ctx"]["expected"].split("'")[1::2]
        return did_you_mean(found, known, before=f"{place}=" if place in origin.typed else "")
    return ""


def _shown(found: object) -> str:
    text = "null" if found is None else repr(found)
    if isinstance(found, bool):
        text = str(found).lower()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _is_at(place: str, other: str) -> bool:
    """Tell whether a place is another one, or in it."""
    return place == other or place.startswith(f"{other}.")


def _below(place: str, others: Iterable[str]) -> bool:
    return any(_is_at(place, other) or _is_at(other, place) for other in others)


def _dotted(node: Any, before: str = "") -> Iterator[str]:
    """Give the keys of values at all depths: runner, runner.num_workers."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield f"{before}{key}"
            yield from _dotted(value, f"{before}{key}.")
