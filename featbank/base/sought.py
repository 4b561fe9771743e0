"""A person, or some utterances, as somebody looks for them in manifests, stores and texts."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from featbank.base.label_forms.variants import origins
from featbank.base.places import Place

_WORD = re.compile(r"[^\s\"'<>|,;=(){}\[\]]+")  # between what stands around ids in texts
_ENDS = ".:!?"  # of a sentence, behind an id
_MORE = frozenset(_ENDS)
_LOOSE = (r"(?<![\w./-])", r"(?![\w/-])")
_STRICT = (r"(?:^|(?<=[\"'>\t\n]))", r"(?=[\"'<\t\r\n]| \(|$)")
_SHORT = 3  # letters of a word that may be anything


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """Whom somebody looks for. What was made of an utterance, or a speaker, belongs to it.

    `sp0.9-a` and `a-ch0` belong to `a`, as `featbank.corpora` makes them.

    Args:
        ids: of utterances.
        speakers: as manifests name them.
        prefixes: of ids.
        same_audio: whether a row that has the samples of one that is sought is so, too, whatever
            its id and its corpus are.
    """

    ids: frozenset[str] = frozenset()
    speakers: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    same_audio: bool = False

    def has_id(self, utterance_id: str) -> bool:
        """Tell whether an id is sought, or one that it was made of."""
        if not self.ids and not self.prefixes:
            return False
        return any(
            one in self.ids or one.startswith(self.prefixes) for one in _origins(utterance_id)
        )

    def has_row(self, utterance_id: str, speaker: str) -> bool:
        """Tell whether a row of a manifest is sought."""
        return self.has_id(utterance_id) or bool(
            self.speakers and any(one in self.speakers for one in _origins(speaker))
        )


class Traces:
    """What bytes may say of whom is sought: ids as they are found, their audio, the speakers.

    Args:
        sought: whom.
    """

    def __init__(self, sought: Sought) -> None:
        self.sought = sought
        self._ids = set(sought.ids)
        self._audio: dict[str, set[str]] = {}
        self._names: set[str] = set()  # of their files, without the folders
        self._samples: set[str] = set()
        self._words: set[str] = set()
        self._fenced: dict[str, str] = {}
        for one in sought.ids:
            self._know(one)

    @property
    def ids(self) -> frozenset[str]:
        """All ids that are known: those that are asked for, and those that were found."""
        return frozenset(self._ids)

    @property
    def num_known(self) -> int:
        """How much is known: another look at rows is of use while it grows."""
        return len(self._ids) + len(self._samples)

    def add_row(self, utterance_id: str, speaker: str, audio: str, samples: str = "") -> None:
        """Take in a row of a manifest, if it is sought.

        Args:
            utterance_id: of the row.
            speaker: of it.
            audio: where it lies.
            samples: stands for those of the row; empty where nothing does.
        """
        is_same = self.sought.same_audio and samples in self._samples
        if is_same or self.sought.has_row(utterance_id, speaker):
            self._add(utterance_id)
            if samples:
                self._samples.add(samples)
            inside = Place.parse(audio)
            path = inside.container if inside else audio
            self._audio.setdefault(path, set()).add(utterance_id)
            if not inside:
                self._names.add(path.rpartition("/")[2])

    def has_id(self, utterance_id: str) -> bool:
        """Tell whether an id is known, or is sought; then it is known."""
        if utterance_id in self._ids:
            return True
        # what was made of a known one belongs to it, though no manifest that is left says so
        if any(one in self._ids for one in _origins(utterance_id)) or self.sought.has_id(
            utterance_id
        ):
            self._add(utterance_id)
            return True
        return False

    def in_file(self, path: str) -> frozenset[str]:
        """Return the ids of whose audio a file is.

        Args:
            path: of the file, which ends in the path that a manifest states.
        """
        parts = path.split("/")
        for start in range(len(parts)):
            if found := self._audio.get("/".join(parts[start:])):
                return frozenset(found)
        return frozenset()

    def in_text(self, text: str) -> tuple[set[str], bool]:
        """Return the ids that a text names, and whether it names one of them, or a speaker.

        Args:
            text: JSON, HTML, a table or a list; or what of other bytes decodes.
        """
        found, names = self._named(text)
        return found, bool(found or names)

    def is_sure(self, text: str) -> bool:
        """Tell whether a text says of whom is sought what nothing else can mean.

        A number or a short word may be them, and may be anything.
        """
        found, names = self._named(text)
        return not all(map(_is_common, found | names))

    def _named(self, text: str) -> tuple[set[str], set[str]]:
        """Return the ids that a text names, and the speakers, as it writes them."""
        words = set(_WORD.findall(text))
        found = words & self._words
        for word in words - found:
            if not ("/" in word or word[-1] in _MORE or "-ch" in word or word[:2] == "sp"):
                if word in self._names:
                    found |= self.in_file(word)
                continue
            one = word.rstrip(_ENDS)
            if any(known in self._words for known in _origins(one)):
                found.add(one)
            elif one.rpartition("/")[2] in self._names:
                found |= self.in_file(one)
        matches = {match[0] for match in self._pattern.finditer(text)} if self._pattern else set()
        found |= {self._fenced[one] for one in matches if one in self._fenced}
        return found, matches - self._fenced.keys()

    def _add(self, utterance_id: str) -> None:
        if utterance_id not in self._ids:
            self._ids.add(utterance_id)
            self._know(utterance_id)

    def _know(self, utterance_id: str) -> None:
        """Remember the forms in which texts have an id."""
        is_word = _WORD.fullmatch(utterance_id) and utterance_id.isascii()
        if is_word and not _is_common(utterance_id) and utterance_id[-1] not in _ENDS:
            self._words.add(utterance_id)
        else:
            self._fenced.update(dict.fromkeys(_forms(utterance_id), utterance_id))
            self.__dict__.pop("_pattern", None)

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        """Finds what is no word by itself: ids with spaces, quotes or letters that are escaped.

        A number and a short word are something else in most places: they stand in quotes, in a
        cell or on a line of their own. So do speakers.
        """
        names = [form for one in self.sought.speakers for form in _forms(one)]
        strict = [*names, *(one for one in self._fenced if _is_common(one))]
        loose = [one for one in self._fenced if not _is_common(one)]
        parts = [
            f"{before}(?:{'|'.join(map(re.escape, sorted(some, reverse=True)))}){behind}"
            for some, (before, behind) in ((loose, _LOOSE), (strict, _STRICT))
            if some
        ]
        return re.compile("|".join(parts)) if parts else None


def _origins(name: str) -> Iterable[str]:
    """Return what `origins` gives, without asking for most names, of which there are millions."""
    return origins(name) if "-ch" in name or name.startswith("sp") else (name,)


def _is_common(word: str) -> bool:
    return len(word) <= _SHORT or word.isdecimal()


def _forms(text: str) -> Iterable[str]:
    """Return how JSON, HTML and plain texts write it."""
    escaped = {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    return {text, *escaped, html.escape(text), html.escape(text, quote=False)}
