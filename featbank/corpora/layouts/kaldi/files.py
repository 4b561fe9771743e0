"""Reading of the files of a Kaldi data directory: lines of a key and a value, joined by key."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from featbank.base.failures import Failure
from featbank.base.manifest import check_id
from featbank.base.terms import TERMS
from featbank.corpora.base import bad_row
from featbank.corpora.layouts.cells import check_utf8, text_lines
from featbank.corpora.layouts.packed import shown
from featbank.corpora.scratch import Scratch
from featbank.corpora.sorting import SortedLines
from featbank.errors import CorpusError
from featbank.files.remote import AnyPath, exists

AUDIO = "audio"
"""What stands for the line of an utterance's audio: of `segments`, else of `wav.scp`."""

CHANNELS = "reco2file_and_channel"

_SAYS = ("text", "utt2lang", "utt2spk", *(f"utt2{term}" for term in TERMS))
_SPACE = re.compile(r"[ \t]+")  # as Kaldi splits: other spaces are of texts
_CHANNELS = {"A": 0, "B": 1, "1": 0, "2": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line of a file of a data directory.

    Args:
        where: it stands, for messages: `data/train/text:12`.
        key: its first word.
        value: the rest, without spaces around it.
        again: where another line has the same key, so that nobody can tell which is meant; empty
            where none was found.
    """

    where: str
    key: str
    value: str
    again: str = ""


def recordings(folder: AnyPath, root: AnyPath) -> tuple[dict[str, Entry], list[Failure]]:
    """Return the lines of a `wav.scp` by recording, of which memory holds all.

    Returns:
        The first line of each, and those that cannot be used.

    Raises:
        CorpusError: the file is unreadable.
    """
    return _by_key(folder / "wav.scp", root)


def channels(
    folder: AnyPath, root: AnyPath, known: Mapping[str, Entry]
) -> tuple[dict[str, int | None], list[Failure]]:
    """Return the channels that `reco2file_and_channel` gives to recordings of one file.

    Kaldi itself never reads it for that, so of a file that one recording has alone, such as one
    that a call was split into, it changes nothing.

    Args:
        folder: the directory.
        root: of the corpus, for messages.
        known: the recordings of its `wav.scp`.

    Returns:
        An index from 0 by recording, None where its line cannot be used, and such lines.

    Raises:
        CorpusError: the file is unreadable.
    """
    found: dict[str, int | None] = {}
    entries, failures = _by_key(folder / CHANNELS, root)
    times = Counter(entry.value for entry in known.values())
    for key, entry in entries.items():
        if key not in known or times[known[key].value] == 1:
            continue
        found[key] = None if entry.again else _CHANNELS.get(_SPACE.split(entry.value)[-1])
        if found[key] is None and not entry.again:
            error = CorpusError(
                entry.where, expected="a recording, a file and A or B", got=repr(entry.value)
            )
            failures.append(bad_row(error, entry.where))
    return found, failures


def _by_key(path: AnyPath, root: AnyPath) -> tuple[dict[str, Entry], list[Failure]]:
    found: dict[str, Entry] = {}
    failures: list[Failure] = []
    for entry in _entries(path, root):
        if isinstance(entry, CorpusError):
            failures.append(bad_row(entry, entry.what))
        elif (first := found.setdefault(entry.key, entry)) is not entry:
            failures.append(_again(entry))
            found[entry.key] = replace(first, again=entry.where)
    return found, failures


def _again(entry: Entry) -> Failure:
    error = CorpusError(entry.where, expected="an id once", got=f"{entry.key!r} again")
    return bad_row(error, entry.where)


def utterances(
    folder: AnyPath, root: AnyPath, *, has_segments: bool
) -> Iterator[Mapping[str, Entry] | Failure]:
    """Yield what the files of a directory say of each utterance, in the order of their ids.

    They are joined on disk, in any order, so that memory does not grow with their number.

    Args:
        folder: the directory.
        root: of the corpus, for messages.
        has_segments: whether utterances are lines of `segments`, else of `wav.scp`.

    Returns:
        By `AUDIO` and the name of each other file, the line that it has; or why there is none.

    Raises:
        CorpusError: a file is unreadable.
    """
    audio = "segments" if has_segments else "wav.scp"
    with tempfile.TemporaryDirectory() as temporary, Scratch(Path(temporary)) as scratch:
        lines = SortedLines(scratch, "utterances")
        names = [audio, *(name for name in _SAYS if exists(folder / name))]
        told = [shown(folder / name, root) for name in names]
        for number, name in enumerate(names):
            for entry in _entries(folder / name, root):
                if isinstance(entry, CorpusError):
                    yield bad_row(entry, entry.what)
                else:
                    line = int(entry.where.rpartition(":")[2])
                    lines.add(entry.key, f"{number}{line:012d}{entry.value}")
        for key, said in lines.groups():
            entries = []
            for one in said:
                number, where = int(one[0]), f"{told[int(one[0])]}:{int(one[1:13])}"
                entries.append((names[number], Entry(where=where, key=key, value=one[13:])))
            found = dict(reversed(entries))
            again = [entry for name, entry in entries if entry is not found[name]]
            if again:
                yield from map(_again, again)
            elif audio in found:
                yield {AUDIO: found.pop(audio), **found}
            else:
                where = entries[0][1].where
                error = CorpusError(where, expected=f"an utterance of {audio}", got=repr(key))
                yield bad_row(error, where)


def _entries(path: AnyPath, root: AnyPath) -> Iterator[Entry | CorpusError]:
    """Yield the lines of a file, or what is wrong with one; `what` of it is its place."""
    for where, line in text_lines(path, root):
        text = line.strip(" \t\r\n")
        key, _, value = _SPACE.sub(" ", text, count=1).partition(" ")
        try:
            check_utf8(text, where)
            check_id(key, CorpusError)
        except CorpusError as error:
            yield CorpusError(where, expected=error.expected, got=error.got, hint=error.hint)
        else:
            yield Entry(where=where, key=key, value=value)
