"""The contract of export formats: what each is given, what it may refuse, where it writes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any, ClassVar

from featbank.errors import ConfigError
from featbank.export.source import ExportField, ExportSource
from featbank.export.work import ExportWork


@dataclass(frozen=True, slots=True, kw_only=True)
class Export(ABC):
    """A format that stores are exported to. The first line of a class's docstring is its help.

    Its own fields are its options: `--set name=value`. They are of type bool, int or str, and have
    defaults.
    """

    version: ClassVar[int] = 1
    """Counts up when the files of the same stores would be others."""
    packages: ClassVar[tuple[str, ...]] = ()
    """Packages that it imports, which need not be installed."""
    extra: ClassVar[str] = ""
    """The extra of featbank that has them."""
    needs_manifests: ClassVar[bool] = False
    needs_audio_root: ClassVar[bool] = False
    names_its_place: ClassVar[bool] = False
    """Whether the files say where they lie, so that others are made elsewhere."""

    @abstractmethod
    def check(self, source: ExportSource) -> None:
        """Refuse stores that the format cannot hold; before any file is made.

        Raises:
            ConfigError: it cannot; which field, and why.
        """

    def depends_on(self, source: ExportSource) -> Mapping[str, Any]:  # noqa: ARG002 - of others
        """Return what else decides the bytes, as JSON values: other files, where stores lie."""
        return {}

    @abstractmethod
    def write(self, source: ExportSource, work: ExportWork) -> None:
        """Write all files by `work.make`, a piece of the source each.

        Raises:
            StoreError: values that are not those that were written, or an id that the format has
                no name for.
        """


def load_packages(name: str, export: type[Export]) -> None:
    """Import the packages of a format.

    Raises:
        ConfigError: one is not installed; it names the extra.
    """
    for package in export.packages:
        try:
            import_module(package)
        except ImportError as error:
            raise ConfigError.of_absent(
                f"export to {name}", package, export.extra, error
            ) from error


def refuse_field(field: ExportField, format_name: str, *, expected: str, hint: str = "") -> None:
    """Refuse a field that a format cannot hold.

    Raises:
        ConfigError: always.
    """
    axes = ", ".join("T" if size is None else str(size) for size in field.axes)
    raise ConfigError(
        f"export of {field.name} to {format_name}",
        expected=expected,
        got=f"{field.dtype.name} ({axes})",
        hint=hint,
    )


_PARSERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "bool": ("true or false", {"true": True, "false": False}.__getitem__),
    "int": ("a whole number", int),
    "str": ("a text", str),
}


def parse_options(name: str, export: type[Export], given: dict[str, str]) -> Export:
    """Make a format with options as they are typed: `{"deduplicate": "true"}`.

    Raises:
        ConfigError: an option is unknown, or its value is of another type.
    """
    known = {one.name: str(one.type) for one in fields(export)}
    values: dict[str, Any] = {}
    for option, text in given.items():
        if option not in known:
            raise ConfigError(
                f"option {option} of export to {name}",
                expected=", ".join(known) or "none: the format has no options",
                got="an option it has not",
            )
        kind, parse = _PARSERS[known[option]]
        try:
            values[option] = parse(text)
        except (KeyError, ValueError) as error:
            raise ConfigError(
                f"option {option} of export to {name}", expected=kind, got=repr(text)
            ) from error
    return export(**values)
