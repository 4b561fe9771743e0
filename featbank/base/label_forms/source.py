"""Where the labels of a corpus lie, and in which form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from featbank.base.building import construct
from featbank.base.label_forms.folder import LabelFolder
from featbank.base.label_forms.forms import FORMS, Reading
from featbank.base.labels import LabelFile, Labels
from featbank.errors import ConfigError

_JSON_LINES = "jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSource:
    """Time-aligned labels of a corpus, as its definition names them.

    Args:
        path: of a file of JSON lines, CTM, TextGrid or alignments, or of a folder of such files.
        tier: what is read of them: `phones`, `words`, or the name of a tier of a TextGrid.
        form: `jsonl`, or one of `FORMS`; None tells it by the names of the files.
        sample_rate: that the samples of `phn` and `wrd` files count at, in Hz.
    """

    path: str
    tier: str = "phones"
    form: str | None = None
    sample_rate: int = 16_000

    @classmethod
    def of(cls, given: object, root: str | Path = "") -> Self:
        """Build it from a definition: a path below the root, or all fields.

        >>> LabelSource.of({"path": "alignments", "tier": "words"}, "corpora/x").path
        'corpora/x/alignments'

        Raises:
            ConfigError: a field that there is not, or of another type or value.
        """
        settings = {"path": given} if isinstance(given, str) else given
        if not isinstance(settings, Mapping):
            raise ConfigError(
                "corpus.labels", expected="a path, or {path: ..., tier: ...}", got=repr(given)
            )
        source = construct(cls, settings, "corpus.labels")
        known = (_JSON_LINES, *FORMS)
        if source.form not in (None, *known):
            raise ConfigError("corpus.labels.form", expected=", ".join(known), got=source.form)
        if source.sample_rate < 1:
            raise ConfigError(
                "corpus.labels.sample_rate", expected="Hz, 1 or more", got=source.sample_rate
            )
        return replace(source, path=str(Path(root, source.path)))


def open_labels(source: LabelSource | str | Path) -> Labels:
    """Return what finds the labels of an utterance; files are read when the first are asked for.

    A file with no ending of `FORMS` is one of JSON lines.

    Args:
        source: the labels, or their path.
    """
    if not isinstance(source, LabelSource):
        source = LabelSource(path=str(source))
    path = Path(source.path)
    is_lines = source.form is None and not path.is_dir() and not _has_known_ending(path)
    if is_lines or source.form == _JSON_LINES:
        return LabelFile(path)
    return LabelFolder(path, source.form, Reading(tier=source.tier, sample_rate=source.sample_rate))


def _has_known_ending(path: Path) -> bool:
    return path.name.lower().endswith(tuple(form.ending for form in FORMS.values()))
