"""Audio in numbered tars, as NeMo's tarred datasets have it."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from featbank.audio.tars import TarMember, tar_members
from featbank.base.failures import Failure, brief
from featbank.base.manifest import check_id
from featbank.corpora.layouts.shards import number_width
from featbank.corpora.paths import AudioPaths
from featbank.errors import AudioError, ConfigError, CorpusError
from featbank.files.remote import AnyPath

_RANGE = re.compile(r"(?:\{|_OP_)([0-9]{1,9})\.\.([0-9]{1,9})(?:\}|_CL_)")
_REPEATED = re.compile(r"-sub[0-9]+(?=\.[^.]*$|$)")  # of another segment of one file
_MOST_INDEXES = 4  # of tars, that are in memory: manifests name their members tar by tar


class ShardedTars:
    """Finds members of numbered tars.

    Args:
        root: of the corpus.
        pattern: path of a tar below it, or of several: `audio_{0..127}.tar`, also written
            `audio__OP_0..127_CL_.tar`.
        paths: checks of the corpus's paths.

    Raises:
        ConfigError: the pattern has several ranges, or one that is none.
    """

    def __init__(self, root: AnyPath, pattern: str, paths: AudioPaths) -> None:
        self._root, self._paths = root, paths
        self._indexes: OrderedDict[str, Mapping[str, TarMember]] = OrderedDict()
        self._failed: list[Failure] = []
        self._told: set[str] = set()
        ranges = list(_RANGE.finditer(pattern))
        plain = _RANGE.sub("", pattern)
        if len(ranges) > 1 or "{" in plain or "_OP_" in plain:
            raise ConfigError(
                "corpus.tars", expected="a path with one range, as {0..127}", got=repr(pattern)
            )
        self._pattern = pattern
        self._range = ranges[0] if ranges else None

    def find(self, name: str, shard: Any, where: str) -> str:
        """Return where a member lies, as a manifest names it.

        Args:
            name: of the member, as a row has it; `x-sub1.wav` may stand for `x.wav`.
            shard: number of the tar, as the row has it; None where it has none.
            where: the row stands, for messages.

        Raises:
            CorpusError: there is no such member, or none that can be read where it lies.
        """
        tar = self._paths.relative(self._tar(shard, where), where)
        self._paths.check_links(tar, where)
        members = self._index(tar)
        name = name.removeprefix("./")
        member = members.get(name) or members.get(_REPEATED.sub("", name))
        if member is None or member.fault:
            raise CorpusError(
                f"audio in {where}",
                expected=f"a member of {tar}",
                got=repr(name) + (f", {member.fault}" if member else ", which it lacks"),
            )
        audio = str(member.place(tar))
        check_id(audio, CorpusError)
        return audio

    def failures(self) -> Iterator[Failure]:
        """Give what is wrong with tars that were looked at, once each."""
        yield from self._failed
        self._failed.clear()

    def _tar(self, shard: Any, where: str) -> str:
        if self._range is None:
            return self._pattern
        first, last = self._range.groups()
        digits = str(shard) if isinstance(shard, int | str) and shard is not True else ""
        if not re.fullmatch("[0-9]{1,9}", digits) or not int(first) <= int(digits) <= int(last):
            raise CorpusError(
                f"shard_id in {where}",
                expected=f"a number from {first} to {last}, as corpus.tars says",
                got=brief(repr(shard)),
            )
        width = number_width(first, last)
        start, end = self._range.span()
        return f"{self._pattern[:start]}{int(digits):0{width}d}{self._pattern[end:]}"

    def _index(self, tar: str) -> Mapping[str, TarMember]:
        """Return the members of a tar by name; of one that is damaged, those that are whole."""
        if tar in self._indexes:
            self._indexes.move_to_end(tar)
            return self._indexes[tar]
        members: dict[str, TarMember] = {}
        try:
            for member in tar_members(self._root / tar):
                if member.name in members:  # which of them a row means, nobody can tell
                    member = replace(member, fault="there twice")
                members[member.name] = member
        except AudioError as error:
            if tar not in self._told:
                self._told.add(tar)
                self._failed.append(Failure.of(error, id=tar, audio=tar, root=self._root))
        self._indexes[tar] = members
        if len(self._indexes) > _MOST_INDEXES:
            self._indexes.popitem(last=False)
        return members
