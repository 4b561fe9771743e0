"""Read all files of some places once, and remember what holds some of whom is sought.

Manifests come first, for they alone know whose an utterance is; then shards, which may have rows
that no manifest has any more; then everything else, which may name any of these.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import BinaryIO

from featbank.base.sought import Traces
from featbank.corpora.paths import AUDIO_SUFFIXES
from featbank.errors import StoreError
from featbank.pipeline.contents import (
    SNIFFED_BYTES,
    Content,
    Form,
    Listed,
    find_content,
    learn_rows,
    read_listed,
    sniff,
)
from featbank.pipeline.held_places import HeldPlace, LocalPlace

Key = tuple[str, str]
"""Of a file: its place and its name; of an object of DVC: no place, and its digest."""

LISTING = ".dir"
"""End of the name of an object that lists a folder."""

_FORMS: Sequence[Form] = ("shard", "rows", "header", "text", "other")  # in this order


class Scan:
    """What was found, by the keys of files.

    Args:
        traces: of whom is sought.
        miss: told the place of a file that cannot be read, and what is wrong.
    """

    def __init__(self, traces: Traces, miss: Callable[[str, str], None]) -> None:
        self._traces = traces
        self._miss = miss
        self._aliases: dict[Key, Key] = {}
        self._contents: dict[Key, Content] = {}
        self.headers: dict[Key, Listed] = {}
        self.unread: set[Key] = set()
        """What is neither ours nor text, and was not read."""

    @property
    def contents(self) -> Mapping[Key, Content]:
        """What holds some of whom is sought; links to objects are not among them."""
        return self._contents

    def content(self, key: Key) -> Content | None:
        """Return what a file holds of whom is sought."""
        return self._contents.get(self._aliases.get(key, key))

    def header(self, key: Key) -> Listed | None:
        """Return what a file lists, if it is the header of a store."""
        return self.headers.get(self._aliases.get(key, key))

    def run(
        self, objects: Sequence[HeldPlace], files: Sequence[HeldPlace], thorough: Sequence[str]
    ) -> None:
        """Read everything.

        Args:
            objects: places with objects of DVC, the one that is read fastest first. What lists
                folders is passed by.
            files: other places. Audio is passed by; what is linked to the first place is known.
            thorough: those of which files are read, too, that are neither ours nor text.
        """
        waiting: dict[Form, list[tuple[HeldPlace, bool, list[str]]]] = {}
        for place, is_shared, names in self._unseen(objects, files):
            for form, some in self._sniffed(place, names).items():
                if form == "other" and place.name not in thorough:
                    self.unread.update(_key(place, name, is_shared) for name in some)
                else:
                    waiting.setdefault(form, []).append((place, is_shared, some))
        self._learn(waiting.get("rows", ()))
        for form in _FORMS:
            for place, is_shared, names in waiting.get(form, ()):
                for name, file in self._opened(place, names):
                    with self._missed(place, name):
                        self._read(_key(place, name, is_shared), file, form, place.files[name])

    def _learn(self, waiting: Sequence[tuple[HeldPlace, bool, list[str]]]) -> None:
        """Have the traces take in the rows of manifests, again while the same audio says more."""
        known = -1
        while known < self._traces.num_known:
            known = self._traces.num_known
            for place, _, names in waiting:
                for name, file in self._opened(place, names):
                    with self._missed(place, name):
                        learn_rows(file, place.files[name], self._traces)
            if not self._traces.sought.same_audio:
                return

    def _unseen(
        self, objects: Sequence[HeldPlace], files: Sequence[HeldPlace]
    ) -> Iterator[tuple[HeldPlace, bool, list[str]]]:
        """Give each place, whether it has objects, and names of files that no other place gave."""
        seen: set[str] = set()
        for place in objects:
            names = [one for one in place.files if one not in seen and not one.endswith(LISTING)]
            seen.update(names)
            yield place, True, names
        linked = {
            inode: digest
            for digest, path in objects[0].files.items()
            if (inode := _inode(path)) is not None
        }
        for place in files:
            names = []
            for name, path in place.files.items():
                if os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES:  # noqa: PTH122
                    continue
                inode = _inode(path) if isinstance(place, LocalPlace) else None
                if inode is not None and (digest := linked.get(inode)):
                    self._aliases[place.name, name] = ("", digest)
                else:
                    names.append(name)
            yield place, False, names

    def _sniffed(self, place: HeldPlace, names: Sequence[str]) -> dict[Form, list[str]]:
        found: dict[Form, list[str]] = {}
        for name, file in self._opened(place, names, SNIFFED_BYTES):
            with self._missed(place, name):
                found.setdefault(sniff(file.read(SNIFFED_BYTES)), []).append(name)
        return found

    def _read(self, key: Key, file: BinaryIO, form: Form, where: str) -> None:
        if (content := find_content(file, form, where, self._traces)) is not None:
            self._contents[key] = content
        if form == "header":
            file.seek(0)
            self.headers[key] = read_listed(file, where)

    def _opened(
        self, place: HeldPlace, names: Sequence[str], head_bytes: int | None = None
    ) -> Iterator[tuple[str, BinaryIO]]:
        for name, file in place.open(names, head_bytes=head_bytes):
            if isinstance(file, StoreError):
                self._miss(place.name, str(file))
            else:
                yield name, file

    @contextmanager
    def _missed(self, place: HeldPlace, name: str) -> Iterator[None]:
        """Pass by a file that cannot be read, and say so."""
        try:
            yield
        except StoreError as error:
            self._miss(place.name, str(error))
        except OSError as error:
            self._miss(place.name, f"{place.files[name]}: {error.strerror or error}")


def _key(place: HeldPlace, name: str, is_shared: bool) -> Key:
    return ("" if is_shared else place.name, name)


def _inode(path: str) -> tuple[int, int] | None:
    """Return what two names of one file have in common; None where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - of millions
    except OSError:  # of another process, which is gone
        return None
    return found.st_dev, found.st_ino
