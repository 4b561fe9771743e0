"""The stamp of a report that is handed on: when it was made, and of which revision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PageStamp:
    """When and of what a page was made. A page that DVC keeps has none: the same inputs, its bytes.

    Args:
        made_at: date and time, with their zone.
        revision: of git; empty where there is none.
        is_dirty: whether tracked files differed from it.
        lock: SHA-256 of dvc.lock, which names all inputs and outputs; empty where there is none.
        versions: of packages, by name.
    """

    made_at: str
    revision: str
    is_dirty: bool
    lock: str
    versions: Mapping[str, str]

    @property
    def told(self) -> list[tuple[str, str]]:
        """Its facts, each with its name."""
        dirty = ", and tracked files differ from it" if self.is_dirty else ", with nothing changed"
        return [
            ("made", self.made_at),
            ("git revision", self.revision + dirty if self.revision else "none"),
            ("dvc.lock, SHA-256", self.lock or "none"),
            ("versions", ", ".join(f"{name} {one}" for name, one in self.versions.items())),
        ]
