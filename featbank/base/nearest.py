"""Advice about mistyped names: the known ones that a person may have meant."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from difflib import SequenceMatcher
from pathlib import Path

_MOST = 3  # names that are offered
_SURE, _LIKELY = 0.85, 0.7  # of 1: likeness that comes before what holds the word, and after it
_LEAST = 3  # letters of a word that names may hold

_CHOICE = re.compile(r"invalid choice: '(.*)' \(choose from (.*)\)")

# difflib and not rapidfuzz: an installation that only reads stores gives this advice, too


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """Return the names that are meant most likely, the likeliest first; none may be near.

    Case and the signs between words do not count. What holds the word as a part is near, too.

    >>> nearest("Num-Worker", ["num_workers", "num_gpus"]), nearest("gpu", ["cpu", "cuda"])
    (['num_workers'], [])
    >>> nearest("whisper", ["whisper_base", "whisper_large_v3", "wavlm", "log_mel_whisper"])
    ['whisper_base', 'log_mel_whisper', 'whisper_large_v3']
    """
    sought = _folded(word)
    folded = {name: _folded(name) for name in known}
    matcher = SequenceMatcher(b=sought, autojunk=False)

    def likeness(name: str) -> float:
        matcher.set_seq1(folded[name])
        upper = matcher.real_quick_ratio()
        return matcher.ratio() if upper >= _LIKELY else 0.0

    like = {name: likeness(name) for name in folded}
    best = max(like, key=like.__getitem__, default="")
    if best and like[best] >= _SURE:
        return [best]
    holding = [name for name, text in folded.items() if len(sought) >= _LEAST and sought in text]
    if holding:
        return sorted(holding, key=lambda name: (len(name), name))[:_MOST]
    return [best] if best and like[best] >= _LIKELY else []


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "", *, before: str = "") -> str:
    """Return a question that names what is near, for the hint of an error.

    Args:
        word: as it was typed.
        known: names that can be typed in its place.
        otherwise: what to say where none is near.
        before: what is typed before each of the names, such as `feature=`.

    >>> did_you_mean("wavml", ["wavlm", "hubert"]), did_you_mean("x", ["wavlm"], "there is wavlm")
    ('did you mean wavlm?', 'there is wavlm')
    """
    return _question([f"{before}{name}" for name in nearest(word, known)]) or otherwise


def near_folder(folder: Path, *, before: str = "") -> str:
    """Return the question about a folder that is not there: of those beside it, as seen from here.

    Where more of its path is wrong than one name, it is about the first of these.

    Args:
        folder: of which there is none.
        before: what is typed before it, such as `corpus.root=`.
    """
    with suppress(OSError):  # of folders that are not ours to list: advice is no second error
        return _near_folder(folder, before)
    return ""


def _near_folder(folder: Path, before: str) -> str:
    missing = folder
    while not missing.parent.is_dir() and missing.parent != missing:
        missing = missing.parent
    parent, rest = missing.parent, folder.relative_to(missing)
    near = nearest(missing.name, [path.name for path in parent.iterdir()])
    there = [name for name in near if (parent / name / rest).is_dir()]
    with suppress(ValueError):
        parent = parent.absolute().relative_to(Path.cwd())
    return _question([f"{before}{parent / name / rest}" for name in there])


def near_choice(message: str) -> str:
    """Return the question about a value that argparse refuses, for its message lists the others.

    >>> near_choice("argument --by: invalid choice: 'speakr' (choose from 'corpus', 'speaker')")
    'did you mean speaker?'
    """
    found = _CHOICE.search(message)
    if found is None:
        return ""
    return did_you_mean(found[1], [one.strip().strip("'") for one in found[2].split(",")])


def _question(found: list[str]) -> str:
    *first, last = found or [""]
    if not last:
        return ""
    return f"did you mean {', '.join(first)} or {last}?" if first else f"did you mean {last}?"


def _folded(name: str) -> str:
    return "".join(one for one in name.casefold() if one not in "-_. ")
