"""The contract of export formats: what each is given, what it may refuse, where it writes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from featbank.errors import ConfigError
from featbank.export.rows import ExportField
from featbank.export.source import ExportSource
from featbank.export.work import ExportWork

DESCRIBED: Mapping[str, str] = MappingProxyType(
    {"duration_s": "float64", "text": "str", "speaker": "str", "language": "str"}
)
"""What formats with a place for it say of an utterance, of its row of a manifest; by dtype."""


def described(source: ExportSource) -> Mapping[str, str]:
    """Return `DESCRIBED` and what terms any row says, by dtype; nothing where no manifests are."""
    return {**DESCRIBED, **dict.fromkeys(source.terms, "str")} if source.has_manifests else {}


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardedExport(Export):
    """A format that is cut into files of a size.

    Args:
        shard_mb: MiB of values in a file, at most; 0 for one utterance.
    """

    shard_mb: int = 256

    def __post_init__(self) -> None:
        if self.shard_mb < 0:
            raise ConfigError("option shard_mb", expected="MiB, 0 or more", got=self.shard_mb)

    @property
    def max_bytes(self) -> int:
        """Bytes of values in a file, at most."""
        return self.shard_mb << 20


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


def refuse_name(field: ExportField, name: str, taken: Collection[str], format_name: str) -> None:
    """Refuse a field by whose name, as a format writes it, something else goes there.

    Raises:
        ConfigError: the name is among those that are taken.
    """
    if name in taken:
        raise ConfigError(
            f"export of {field.name} to {format_name}",
            expected="a name that nothing else has there",
            got=name,
            hint=f"give it another: my_{name}=FOLDER",
        )
