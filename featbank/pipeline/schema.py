"""Building blocks of schemas: frozen classes whose fields state type, unit and help.

Pydantic holds JSON against them, strictly: `no` is a text and not false, 3 is no text, a field
that lacks and a key that is none are faults, and all faults are found at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar, dataclass_transform

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.dataclasses import dataclass
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from featbank.base.folder_names import check_name
from featbank.base.label_forms import LabelSource
from featbank.base.trusted import check_modules
from featbank.corpora.splits import check_role
from featbank.errors import ConfigError

Section = TypeVar("Section")

KNOB, PLACE, TOLD, UNIT = "knob", "place", "told", "unit"
"""What the JSON schema of a field says of it besides: that it changes no byte of an output; that it
is what is read or written; what is expected, in words of its own; what a number counts."""

KEY, EXPECTED, GOT = "key", "expected", "got"
"""What a fault of several fields says."""


@dataclass_transform(kw_only_default=True, frozen_default=True)
def section(cls: type[Section]) -> type[Section]:
    """Make a class a section of a schema: its fields are its keys, and all must be given."""
    config = ConfigDict(strict=True, extra="forbid")
    return dataclass(cls, frozen=True, kw_only=True, config=config)  # type: ignore[return-value]


class Open(BaseModel):
    """A section of a schema with keys beyond its fields: arguments that something else checks."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    @property
    def arguments(self) -> Mapping[str, object]:
        """All keys that are given, with their values."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class ComponentOption(Open):
    """A class to build, as `base.building.build` takes it: it checks its arguments itself."""

    target: Annotated[str, Field(alias="_target_", description="module.Class")]


def value(said: str, *, unit: str = "", told: str = "", **limits: float) -> FieldInfo:
    """Describe a field that outputs follow from, for `Annotated`.

    Args:
        said: help, in a few words.
        unit: of a number.
        told: what is expected, where the type does not say it.
        limits: such as `ge` and `le`.
    """
    extra: dict[str, Any] = {key: one for key, one in ((UNIT, unit), (TOLD, told)) if one}
    found: FieldInfo = Field(description=said, json_schema_extra=extra, **limits)  # type: ignore[call-overload]
    return found


def knob(said: str, *, unit: str = "", told: str = "", **limits: float) -> FieldInfo:
    """Describe a field that changes no byte of an output, at most which ones are made."""
    found = value(said, unit=unit, told=told, **limits)
    assert isinstance(found.json_schema_extra, dict)
    found.json_schema_extra[KNOB] = True
    return found


def place(said: str, *, told: str = "") -> FieldInfo:
    """Describe a field that says what is read or written."""
    found = value(said, told=told)
    assert isinstance(found.json_schema_extra, dict)
    found.json_schema_extra[PLACE] = True
    return found


def fault(key: str, *, expected: str, got: str) -> PydanticCustomError:
    """Return the error that a section raises where its fields contradict each other."""
    return PydanticCustomError("sections", "{expected}", {KEY: key, EXPECTED: expected, GOT: got})


def _checked(check: Callable[[Any], object]) -> AfterValidator:
    """Hold a value against a function that raises errors of ours, which pydantic lets through."""

    def checked(found: Any) -> Any:
        try:
            check(found)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return found

    return AfterValidator(checked)


def _check_choice(choice: str) -> None:
    kind, _, option = choice.partition("/")
    if kind not in ("features", "tokens"):
        raise ConfigError("choice", expected="features/NAME or tokens/NAME", got=choice)
    check_name(option, "choice")


_NAMED = "letters, digits, '.', '_' and '-', a letter or digit first"

Name = Annotated[
    str, Field(json_schema_extra={TOLD: _NAMED}), _checked(lambda name: check_name(name, "name"))
]
"""What becomes a folder."""

NamePattern = Annotated[
    str,
    Field(json_schema_extra={TOLD: f"{_NAMED}; * for any of these"}),
    _checked(lambda name: check_name(name.replace("*", "0"), "name")),
]
"""The name of a folder, or of several."""

Choice = Annotated[
    str,
    Field(json_schema_extra={TOLD: f"features/NAME or tokens/NAME, NAME of {_NAMED}"}),
    _checked(_check_choice),
]
"""Stores that params.yaml chooses, or that were made by hand."""

Splits = Annotated[
    Sequence[str],
    Field(json_schema_extra={TOLD: "a list of splits"}),
    _checked(lambda names: check_role(list(names), "train or held_out")),
]

LabelsOption = Annotated[
    Any,
    Field(json_schema_extra={TOLD: "a path, {path: ..., tier: ...} or null"}),
    _checked(lambda given: given is None or LabelSource.of(given)),
]
"""Where the time-aligned labels of a corpus lie."""

Modules = Annotated[
    Sequence[str],
    Field(json_schema_extra={TOLD: "a list: [yourpackage]"}),
    _checked(lambda names: check_modules(list(names))),
]

Seed = Annotated[int, Field(ge=0, le=(1 << 63) - 1)]

# a limit is what is no sane number any more: a library would end the process, or wait for years
Threads = Annotated[int, Field(ge=1, le=1024)]
Utterances = Annotated[int, Field(ge=0, le=10_000_000)]
Hours = Annotated[float, Field(gt=0, le=10_000_000)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]
TaskSeconds = Annotated[float, Field(gt=0, le=86_400)]
Bandwidth = Annotated[float, Field(gt=0, le=1_000_000)]
Failures = Annotated[float, Field(ge=0)]
Text = Annotated[str, Field(min_length=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Deviations = Annotated[float, Field(ge=0, le=1_000_000)]
Count = Annotated[int, Field(ge=1)]

Source = Literal["features", "audio"]
Device = Literal["cpu", "cuda"]
Numerics = Literal["any", "strict"]
