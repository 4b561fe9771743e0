"""Read the cuts of a lhotse Shar, each with the place of its audio in the tar file beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from featbank.audio.tars import tar_members
from featbank.base.failures import Failure, brief
from featbank.base.places import Place
from featbank.corpora.base import bad_row
from featbank.corpora.layouts.lhotse.lines import read_lines
from featbank.corpora.layouts.lhotse.said import Said
from featbank.corpora.links import Links
from featbank.errors import AudioError, CorpusError
from featbank.files.remote import AnyPath, find

_ABSENT = (".nodata", ".nometa")


def read_shar(folder: str, root: AnyPath, links: Links) -> Iterator[tuple[Said, str] | Failure]:
    """Yield each cut of a Shar with where it stands, its audio as a place in a tar file.

    Cuts and audio are paired by their order, and held against each other by name, as lhotse does.
    A Shar without audio is read as the cuts that it holds.

    Args:
        folder: of the Shar, relative to the root.
        root: of the corpus.
        links: which symbolic links may lead out of it.

    Raises:
        CorpusError: the folder lacks cuts, or a tar file for each of their files.
    """
    cuts, tars = (find(root / folder, pattern) for pattern in ("cuts.*jsonl*", "recording.*"))
    if not cuts or (tars and len(tars) != len(cuts)):
        raise CorpusError(
            f"Shar {folder} in {root}",
            expected="cuts.*.jsonl.gz, and a recording.*.tar for each",
            got=f"{len(cuts)} and {len(tars)}",
        )
    for number, name in enumerate(cuts):
        lines = read_lines(f"{folder}/{name}", root)
        if tars:
            yield from _paired(lines, f"{folder}/{tars[number]}", root, links)
        else:
            yield from lines


def _paired(
    lines: Iterator[tuple[Said, str] | Failure], tar: str, root: AnyPath, links: Links
) -> Iterator[tuple[Said, str] | Failure]:
    links.check(tar, f"Shar {tar}")
    places = _audio(tar, root)
    for line in lines:
        place = next(places, None)  # of a line that is no cut, too: the order is what pairs them
        if isinstance(line, Failure):
            yield line
            continue
        said, where = line
        try:
            yield _with_place(said, place, tar, where), where
        except CorpusError as error:
            yield bad_row(error, where, tar)
    for place in places:
        fault = CorpusError(
            f"audio {place}",
            expected="a cut for each member",
            got="none",
            hint="the file of cuts was cut short, or is of another Shar",
        )
        yield bad_row(fault, str(place), str(place))


def _with_place(said: Said, place: Place | None, tar: str, where: str) -> Said:
    """Return a cut whose recording is a file: the member of a tar."""
    if place is None or place.member.endswith(_ABSENT):
        got = "the tar file ends before it" if place is None else "none"
        raise CorpusError(f"audio of {where} in {tar}", expected="a member", got=got)
    if place.member.rpartition(".")[0] != said.get("id"):
        raise CorpusError(
            f"audio of {where} in {tar}",
            expected=f"a member {said.get('id')}",
            got=place.member,
            hint="cuts and audio are of different Shars",
        )
    recording: Any = said.get("recording")
    sources = recording.get("sources") if isinstance(recording, dict) else None
    if not (isinstance(sources, list) and len(sources) == 1 and isinstance(sources[0], dict)):
        raise CorpusError(f"recording of {where}", expected="one source", got=brief(repr(sources)))
    placed = {**sources[0], "type": "file", "source": str(place)}
    return {**said, "recording": {**recording, "sources": [placed]}}


def _audio(tar: str, root: AnyPath) -> Iterator[Place]:
    """Yield the members that hold audio, of which each has one of metadata behind it.

    What ends a damaged tar file is its end: the cuts that have no audio then fail by name.
    """
    with suppress(AudioError):
        for member in tar_members(root / tar):
            if not (member.fault or member.name.endswith((".json", ".nometa"))):
                yield member.place(tar)
