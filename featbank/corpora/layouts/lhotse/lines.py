"""Read lhotse's manifests line by line, and join recordings with supervisions on disk."""

from __future__ import annotations

import json
from collections.abc import Iterator

from featbank.base.failures import Failure
from featbank.base.manifest import check_id
from featbank.corpora.base import bad_row
from featbank.corpora.layouts.cells import parse_row, text_lines
from featbank.corpora.layouts.lhotse.rows import LhotseCut
from featbank.corpora.layouts.lhotse.said import Said
from featbank.corpora.scratch import Scratch
from featbank.corpora.sorting import SortedLines
from featbank.errors import CorpusError
from featbank.files.remote import AnyPath

_RECORDING, _SUPERVISION = "1", "2"  # in the order in which a recording's lines are wanted


def read_lines(name: str, root: AnyPath) -> Iterator[tuple[Said, str] | Failure]:
    """Yield each line of a manifest in JSON lines with where it stands, or its failure.

    Args:
        name: of the manifest, relative to the root.
        root: of the corpus.

    Raises:
        CorpusError: the file cannot be read.
    """
    for where, line in text_lines(root / name, root):
        try:
            yield parse_row(line, where), where
        except CorpusError as error:
            yield bad_row(error, where)


class JoinedLines:
    """Joins the recordings of a corpus with its supervisions, which come in any order.

    Args:
        scratch: for what is sorted.
        name: of this join in it.
    """

    def __init__(self, scratch: Scratch, name: str) -> None:
        self._lines = SortedLines(scratch, name)

    def add(self, said: Said, where: str) -> None:
        """Add a recording or a supervision.

        Raises:
            CorpusError: it does not say of which recording it is.
        """
        is_recording = "sources" in said
        one = said.get("id" if is_recording else "recording_id")
        if not isinstance(one, str):
            raise CorpusError(f"recording of {where}", expected="its id", got=json.dumps(one))
        check_id(one, CorpusError)
        # times of words are most of a line, and no row has room for them
        kept = {key: value for key, value in said.items() if key != "alignment"}
        kind = _RECORDING if is_recording else _SUPERVISION
        self._lines.add(one, f"{kind}{json.dumps([kept, where])}")

    def cuts(self) -> Iterator[LhotseCut | Failure]:
        """Yield each recording as a cut, with its supervisions, and what lacks its recording."""
        for one, lines in self._lines.groups():
            recordings: list[tuple[Said, str]] = []
            supervisions: list[tuple[Said, str]] = []
            for line in lines:
                of = recordings if line[0] == _RECORDING else supervisions
                said, where = json.loads(line[1:])
                of.append((said, where))
            if len(recordings) == 1:
                [(said, where)] = recordings
                yield LhotseCut.whole(said, where, supervisions)
                continue
            got = ", ".join(where for _, where in recordings[:3]) or "none"
            error = CorpusError("recording", expected=f"one of id {one!r}", got=got)
            for _, where in supervisions or recordings:
                yield bad_row(error, where)
