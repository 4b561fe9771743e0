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


def find_shards(
    root: AnyPath, patterns: Patterns | Mapping[str, Patterns], where: str
) -> Iterator[tuple[str, str]]:
    """Give the split and the path of each file that patterns name, sorted within a pattern.

    A file that is named without a wildcard is given though it is not there, for opening it to say.

    Args:
        root: of the corpus, which paths are relative to.
        patterns: with `*` and `**`, numbers as `{0000..0127}` and words as `{a,b}`; one, several,
            or those of each split.
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
            found = list(itertools.chain.from_iterable(_named(root, p) for p in expand(pattern)))
            if not found:
                raise CorpusError(
                    f"{where}: {pattern}", expected=f"files in {root}", got="none of this name"
                )
            for name in found:
                if name not in seen:
                    seen.add(name)
                    yield split, name


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
    if not (ends := _RANGE.fullmatch(braced)):
        return braced.split(",")
    first, last = ends.groups()
    numbers = range(int(first), min(int(last), int(first) + _MOST) + 1)
    width = number_width(first, last)
    return [f"{number:0{width}d}" for number in numbers]


def _named(root: AnyPath, pattern: str) -> list[str]:
    if not _WILD.search(pattern):
        return [str(PurePosixPath(pattern))]
    return find_files(root, pattern)


def _check(pattern: str, where: str) -> None:
    path = PurePosixPath(pattern)
    if path.is_absolute() or ".." in path.parts:
        raise ConfigError(where, expected="paths below corpus.root", got=brief(repr(pattern)))
    if any("**" in part and part != "**" for part in path.parts):
        raise ConfigError(where, expected="** as all of a part of a path", got=brief(repr(pattern)))
