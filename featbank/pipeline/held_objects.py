"""Which objects of DVC hold somebody: those that outputs of revisions name, and the others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import PurePosixPath

from featbank.errors import StoreError
from featbank.pipeline.contents import Content
from featbank.pipeline.dvc_listing import parse_listing
from featbank.pipeline.held_places import HeldPlace
from featbank.pipeline.holdings import Holding
from featbank.pipeline.named_outputs import NamedOutput
from featbank.pipeline.scanning import LISTING, Key

_MAX_LISTING = 1 << 30
CODEBOOK = ".safetensors"

FindContent = Callable[[Key, str], Content | None]
"""Tells what a file holds, by its key, and by its path in the project."""


class HeldObjects:
    """The objects of DVC's cache and its remotes, all of which were scanned.

    Args:
        outputs: of all revisions.
        places: with objects.
        miss: told the place of what cannot be read, and what is wrong.
    """

    def __init__(
        self,
        outputs: Sequence[NamedOutput],
        places: Sequence[HeldPlace],
        miss: Callable[[str, str], None],
    ) -> None:
        self._outputs = outputs
        self._places = places
        self._miss = miss
        self._unlisted: set[str] = set()
        self._entries = lru_cache(maxsize=32)(self._read_entries)
        self.codebooks: list[tuple[NamedOutput, tuple[str, ...]]] = []
        """Fitted on what holds somebody, each with its revisions; once `holdings` was through."""

    def files(self) -> Iterator[tuple[str, str]]:
        """Give the files of all outputs: their paths in the project, and their objects."""
        for out in self._outputs:
            for file, digest in self._entries(out.digest).items():
                yield _path(out, file), digest

    def holdings(self, find: FindContent, scanned: Collection[str]) -> Iterator[Holding]:
        """Give all that hold somebody, in each place that has them.

        Args:
            find: tells what one holds.
            scanned: names of objects that may, whether or not a revision names them.
        """
        named: dict[tuple[str, str, str], tuple[Content, dict[str, None]]] = {}
        holding: list[NamedOutput] = []
        for out in self._outputs:
            held = dict(self._held_in(out, find))
            if held:
                holding.append(out)
            for file, (digest, content) in held.items():
                _, revisions = named.setdefault((digest, out.path, file), (content, {}))
                revisions.update(dict.fromkeys(out.revisions))
        self.codebooks = list(self._fitted_on(holding))
        for out, at in self.codebooks:
            content = Content(kind="codebook", why="fitted")
            named[out.digest, out.path, ""] = content, dict.fromkeys(at)
        for (digest, output, file), (content, revisions) in named.items():
            yield from self._in_places(digest, content, output, file, tuple(revisions))
        known = {digest for digest, _, _ in named}
        found = {one: find(("", one), "") for one in scanned if one not in known}
        for digest, content_or_none in found.items():
            if content_or_none is not None:
                known.add(digest)
                yield from self._in_places(digest, content_or_none)
        yield from self._unnamed_listings(find, known)

    def _held_in(
        self, out: NamedOutput, find: FindContent
    ) -> Iterator[tuple[str, tuple[str, Content]]]:
        """Give the files of an output that hold, each with its object; and what lists them."""
        is_listed = False
        for file, digest in self._entries(out.digest).items():
            if (content := find(("", digest), _path(out, file))) is not None:
                is_listed = bool(file)
                is_sample = content.kind == "shard" and out.stage.startswith("sample")
                yield file, (digest, replace(content, kind="sample") if is_sample else content)
        if is_listed:
            yield "", (out.digest, Content(kind="listing", why="lists"))

    def _fitted_on(
        self, holding: Sequence[NamedOutput]
    ) -> Iterator[tuple[NamedOutput, tuple[str, ...]]]:
        for out in self._outputs:
            if out.path.endswith(CODEBOOK):
                at = {
                    revision
                    for one in holding
                    if any(_overlap(one.path, path) for path in out.inputs)
                    for revision in one.revisions
                }
                if revisions := tuple(one for one in out.revisions if one in at):
                    yield out, revisions

    def _unnamed_listings(self, find: FindContent, held: Collection[str]) -> Iterator[Holding]:
        """Give what lists any of the objects that hold, though no revision names it."""
        named = {out.digest for out in self._outputs}
        for digest in dict.fromkeys(name for place in self._places for name in place.files):
            if digest.endswith(LISTING) and digest not in named:
                entries = self._entries(digest)
                if any(one in held or find(("", one), file) for file, one in entries.items()):
                    yield from self._in_places(digest, Content(kind="listing", why="lists"))

    def _in_places(
        self,
        digest: str,
        content: Content,
        output: str = "",
        file: str = "",
        revisions: tuple[str, ...] = (),
    ) -> Iterator[Holding]:
        for place in self._places:
            if digest in place.files:
                yield Holding(
                    place=place.name,
                    path=place.files[digest],
                    digest=digest,
                    kind=content.kind,
                    why=content.why,
                    output=output,
                    file=file,
                    revisions=revisions,
                    num_rows=content.num_rows,
                    ids=content.ids,
                    is_sure=content.is_sure,
                )

    def _read_entries(self, digest: str) -> Mapping[str, str]:
        """Return the objects of an output by their paths in it; `""` for one that is a file."""
        if not digest.endswith(LISTING):
            return {"": digest}
        wrong = "this list of files is in no place, so that it is not known what was of it"
        for place in self._places:
            if digest not in place.files:
                continue
            for _, file in place.open([digest]):
                if isinstance(file, StoreError):
                    wrong = str(file)
                    continue
                try:
                    return parse_listing(file.read(_MAX_LISTING), f"object {digest}")
                except (StoreError, OSError) as error:
                    wrong = str(error)
        if digest not in self._unlisted:
            self._unlisted.add(digest)
            outs = sorted({out.path for out in self._outputs if out.digest == digest})
            self._miss(outs[0] if outs else "objects of DVC", f"{digest}: {wrong}")
        return {}


def _path(out: NamedOutput, file: str) -> str:
    return f"{out.path}/{file}" if file else out.path


def _overlap(one: str, other: str) -> bool:
    """Tell whether a path is another one, or lies in it, or holds it."""
    first, second = PurePosixPath(one), PurePosixPath(other)
    return first.is_relative_to(second) or second.is_relative_to(first)
