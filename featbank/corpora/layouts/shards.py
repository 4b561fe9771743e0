"""Files that hold many utterances each, by patterns: which there are, and of which split."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from featbank.base.failures import brief
from featbank.corpora.layouts.by_split import lists_by_split
from featbank.errors import ConfigError, CorpusError
from featbank.files.remote import AnyPath, find_files

Patterns = str | Sequence[str]

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"([0-9]+)\.\.([0-9]+)")
_MOST = 1_000_000  # names that one pattern stands for
_WILD = re.compile(r"[*?\[]")
_SPLIT = "{split}"


def find_shards(
    root: AnyPath, patterns: Patterns | Mapping[str, Patterns], where: str
) -> Iterator[tuple[str, str]]:
    """Give the split and the path of each file that patterns name, sorted within a pattern.

    A file that is named without a wildcard is given though it is not there, for opening it to say.
    `{split}` stands for any name of a file or folder, or of a part of it: for the file's split.

    Args:
        root: of the corpus, which paths are relative to.
        patterns: with `*` and `**`, numbers as `{0000..0127}` and words as `{a,b}`; one, several,
            or those of each split; or with `{split}`, as in `{split}/*.tar`.
        where: they are configured, for errors.

    Raises:
        ConfigError: they are no patterns of paths below the root.
        CorpusError: one finds nothing.
    """
    expected = "patterns of paths, or these by split: {train: train-*}"
    seen: set[str] = set()
    for split, some in lists_by_split(patterns, where, expected).items():
        for pattern in some:
            _check(pattern, where)
            if split and _SPLIT in pattern:
                got = f"{split}: {pattern}"
                raise ConfigError(where, expected=f"either splits by name or {_SPLIT}", got=got)
            found = [one for p in expand(pattern) for one in _named(root, p)]
            if not found:
                raise CorpusError(
                    f"{where}: {pattern}",
                    expected=f"files in {root}",
                    got="none of this name",
                    hint="set it, or corpus.root to the folder that they are below",
                )
            for said, name in found:
                if name not in seen:
                    seen.add(name)
                    yield split or said, name


def expand(pattern: str) -> Iterator[str]:
    """Give the patterns that one with braces stands for.

    >>> list(expand("{a,b}-{08..10}.tar"))[:4]
    ['a-08.tar', 'a-09.tar', 'a-10.tar', 'b-08.tar']
    """
    parts = _BRACES.split(pattern)  # plain and braced ones, in turns
    choices = [_choices(part) if number % 2 else [part] for number, part in enumerate(parts)]
    return itertools.islice(map("".join, itertools.product(*choices)), _MOST)


def number_width(first: str, last: str) -> int:
    """Return how many digits the numbers of a range have at least, as shells have it.

    >>> number_width("0", "127"), number_width("0000", "0127"), number_width("00", "127")
    (1, 4, 3)
    """
    is_padded = any(end.startswith("0") and end != "0" for end in (first, last))
    return max(len(first), len(last)) if is_padded else 1


def _choices(braced: str) -> Sequence[str]:
    if braced == "split":
        return [_SPLIT]
    if not (ends := _RANGE.fullmatch(braced)):
        return braced.split(",")
    first, last = ends.groups()
    numbers = range(int(first), min(int(last), int(first) + _MOST) + 1)
    width = number_width(first, last)
    return [f"{number:0{width}d}" for number in numbers]


def _named(root: AnyPath, pattern: str) -> list[tuple[str, str]]:
    """Return the files of a pattern, each behind the split that its name says, or nothing."""
    wild = pattern.replace(_SPLIT, "*")
    if not _WILD.search(wild):
        return [("", str(PurePosixPath(pattern)))]
    names = find_files(root, wild)
    if _SPLIT not in pattern:
        return [("", name) for name in names]
    return [(split, name) for name in names if (split := _split_said(pattern, name))]


def _split_said(pattern: str, name: str) -> str | None:
    """Return what stands where a pattern has `{split}`; the longest, of several that it may be.

    It is None where two of them stand for different texts.

    >>> _split_said("{split}-*.tar", "train-clean-0001.tar")
    'train-clean'
    >>> _split_said("**/{split}/*.tar", "a/b/dev/1.tar")
    'dev'
    """
    expression, met = "", False
    for part in re.split(r"(\{split\}|\*\*/|\*|\?|\[[^\]]*\])", pattern):
        if part == _SPLIT:
            expression += "(?P=split)" if met else "(?P<split>[^/]+)"
            met = True
        elif part == "**/":
            expression += "(?:.*/)?"
        elif part in ("*", "?"):
            expression += "[^/]*" if part == "*" else "[^/]"
        elif part.startswith("[") and part.endswith("]"):
            expression += part.replace("[!", "[^", 1)
        else:
            expression += re.escape(part)
    found = re.fullmatch(expression, name)
    return found["split"] if found else None


def _check(pattern: str, where: str) -> None:
    path = PurePosixPath(pattern)
    if path.is_absolute() or ".." in path.parts:
        raise ConfigError(where, expected="paths below corpus.root", got=brief(repr(pattern)))
    if any("**" in part and part != "**" for part in path.parts):
        raise ConfigError(where, expected="** as all of a part of a path", got=brief(repr(pattern)))
