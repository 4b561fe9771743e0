"""A person, or some utterances, as somebody looks for them in manifests, stores and texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from featbank.base.label_forms.variants import origins
from featbank.base.manifest import Utterance

# what stands around an id in JSON, HTML, tables and lists
_BETWEEN = re.compile(r"[\s\"'<>|,;=(){}\[\]\x00-\x1f\x7f]+")
_ENDS = ".:!?"  # of a sentence that ends in an id
_ESCAPES = {'"': '\\"', "\\": "\\\\", "&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&#39;"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """Whom somebody looks for. What was made of an utterance, or a speaker, belongs to it.

    `sp0.9-a` and `a-ch0` belong to `a`, as `featbank.corpora` makes them.

    Args:
        ids: of utterances.
        speakers: as manifests name them.
        prefixes: of ids.
    """

    ids: frozenset[str] = frozenset()
    speakers: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()

    def has_id(self, utterance_id: str) -> bool:
        """Tell whether an id is sought, or one that it was made of."""
        if not self.ids and not self.prefixes:
            return False
        return any(
            one in self.ids or one.startswith(self.prefixes) for one in origins(utterance_id)
        )

    def has_row(self, row: Utterance) -> bool:
        """Tell whether a row of a manifest is sought."""
        return self.has_id(row.id) or (
            bool(self.speakers and row.speaker)
            and any(one in self.speakers for one in origins(row.speaker))
        )
