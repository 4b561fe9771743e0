"""Forgotten utterances: salted digests of what a corpus may never bring back, and no names.

A person who withdraws leaves a mark of each id, of the speaker, and of the audio of each utterance.
`prepare` leaves out every row that has one. Marks of ids and speakers are of one corpus, for only
there such a name means this person; marks of audio are of any, under whatever name it comes.
"""

from __future__ import annotations

import hashlib
import string
from dataclasses import dataclass
from pathlib import Path

from featbank.base.manifest import Utterance, UtteranceTuple
from featbank.errors import CorpusError
from featbank.files.json_files import read_json

FORGOTTEN = Path("conf", "forgotten.json")
"""Where a project has them, committed: a file without marks where nobody has withdrawn."""

FORGOTTEN_VERSION = 1

_HEX = frozenset(string.hexdigits.lower())
_DIGITS = 64  # of a SHA-256
_MAX_BYTES = 1 << 30  # of the file


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """The marks of all who have withdrawn.

    Args:
        salt: that all are made with; any text. It keeps tables of digests made in advance from
            being of use, and not somebody who guesses a name from trying it.
        marks: SHA-256 digests, in hexadecimal.
    """

    salt: str = ""
    marks: frozenset[str] = frozenset()

    def mark_of_id(self, corpus: str, utterance_id: str) -> str:
        """Return the mark of an utterance of a corpus."""
        return self._mark("id", corpus, utterance_id)

    def mark_of_speaker(self, corpus: str, speaker: str) -> str:
        """Return the mark of a speaker of a corpus."""
        return self._mark("speaker", corpus, speaker)

    def mark_of_audio(self, row: Utterance | UtteranceTuple) -> str:
        """Return the mark of the samples of an utterance, at whatever speed and under any name."""
        where = f"{row.start_sample} {row.num_samples} {row.channel}"
        return self._mark("audio", row.audio_digest, where)

    def holds_name(self, corpus: str, utterance_id: str, speaker: str) -> bool:
        """Tell whether an id, or a speaker, of a corpus is forgotten."""
        return bool(self.marks) and (
            self.mark_of_id(corpus, utterance_id) in self.marks
            or (speaker != "" and self.mark_of_speaker(corpus, speaker) in self.marks)
        )

    def holds(self, corpus: str, row: Utterance | UtteranceTuple) -> bool:
        """Tell whether an utterance of a corpus is forgotten: its id, speaker or audio."""
        return bool(self.marks) and (
            self.holds_name(corpus, row.id, row.speaker) or self.mark_of_audio(row) in self.marks
        )

    def _mark(self, *said: str) -> str:
        # a name may be no UTF-8, and a separator that none holds keeps two from being one
        text = "\0".join((self.salt, *said))
        return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


NOBODY = Forgotten()
"""Has withdrawn."""


def read_forgotten(path: Path) -> Forgotten:
    """Read the marks of a project; none where there is no file.

    Raises:
        CorpusError: the file cannot be read: nobody comes back for a slip of the keyboard.
    """
    if not path.exists():
        return NOBODY
    hint = "take it out of git again: what it held must not come back"
    what = "forgotten utterances"
    fields = read_json(path, what=what, error=CorpusError, hint=hint, max_bytes=_MAX_BYTES)
    salt, marks = fields.get("salt"), fields.get("marks")
    if (
        set(fields) != {"version", "salt", "marks"}
        or fields["version"] != FORGOTTEN_VERSION
        or not isinstance(salt, str)
        or not isinstance(marks, list)
        or not all(_is_mark(mark) for mark in marks)
        or (marks and not salt)
    ):
        raise CorpusError(
            f"{what} {path}",
            expected=f"version {FORGOTTEN_VERSION}, a salt, and marks of {_DIGITS} hex digits",
            got="something else",
            hint=hint,
        )
    return Forgotten(salt=salt, marks=frozenset(marks))


def _is_mark(value: object) -> bool:
    return isinstance(value, str) and len(value) == _DIGITS and _HEX.issuperset(value)
