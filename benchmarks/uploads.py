"""What `dvc push` sends of a store that has grown by one row in a hundred."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_128_hexdigest

from benchmarks.bars import Bar, Report
from benchmarks.corpora import Corpus, token_corpus
from benchmarks.scale import Scale
from featbank.store import StoreWriter

_SHARE = 100  # one new row in so many
_ROWS_OF_SHARD = 500
_OF_SESSION, _OF_SPEAKER = 10, 50

Numbers = npt.NDArray[np.int64]


def measure_uploads(folder: Path, scale: Scale) -> Report:
    """Write a store before and after it has grown, for several ways to grow; compare the files.

    Args:
        folder: for the stores.
        scale: says how many rows there are.
    """
    corpus = token_corpus(scale.num_tokens)
    spread = _blocks(len(corpus), 1)
    everything = np.arange(len(corpus))
    after = _objects(folder / "after", corpus, everything)
    as_part = _objects(folder / "part", corpus, everything, of_part=spread)
    report = Report(
        f"Uploads: {len(spread):,} of {len(corpus):,} utterances are new",
        ["new ones are", "shards", "new shards", "upload, MB", "of the store", "upload / values"],
    )
    found = [
        _add(report, told, corpus, new, folder, grown)
        for told, new, grown in (
            ("spread over all speakers", spread, after),
            (f"sessions of {_OF_SESSION}", _blocks(len(corpus), _OF_SESSION), after),
            (f"new speakers, {_OF_SPEAKER} each", _blocks(len(corpus), _OF_SPEAKER), after),
            ("the last ids", everything[-len(spread) :], after),
            ("spread, and a part of their own", spread, as_part),
        )
    ]
    report.bars = [
        Bar("upload of a part / its values", 1.25, found[-1], at_most=True),
        Bar("upload of the last ids / their values", 4, found[-2], at_most=True),
    ]
    return report


def _add(
    report: Report, told: str, corpus: Corpus, new: Numbers, folder: Path, after: dict[str, int]
) -> float:
    """Add a row of the table; return the bytes of the objects sent by those of the new values."""
    old = np.setdiff1d(np.arange(len(corpus)), new)
    before = _objects(folder / "before", corpus, old)
    sent = {name: size for name, size in after.items() if name not in before}
    values = int(corpus.lengths[new].sum()) * corpus.frame_bytes
    num_bytes = sum(sent.values())
    report.rows.append(
        [
            told,
            len(after) - 1,  # but the header
            len(sent) - 1,
            num_bytes / 1e6,
            num_bytes / sum(after.values()),
            num_bytes / values,
        ]
    )
    return num_bytes / values


def _blocks(num_rows: int, size: int) -> Numbers:
    """Return the numbers of one row in a hundred: blocks of some that follow each other."""
    starts = np.random.default_rng(9).permutation(num_rows // size)
    wanted = starts[: max(1, num_rows // _SHARE // size)] * size
    return np.sort((wanted[:, None] + np.arange(size)).ravel())


def _objects(
    path: Path, corpus: Corpus, rows: Numbers, of_part: Sequence[int] | Numbers = ()
) -> dict[str, int]:
    """Write a store; return the sizes of its files by digest, as DVC's cache names them.

    Args:
        path: of the store, which is replaced.
        corpus: that the rows are of.
        rows: in order.
        of_part: those of them that are of another part, in order.
    """
    target = corpus.num_bytes * _ROWS_OF_SHARD // len(corpus)
    with StoreWriter(path, name="units", dtype="uint16", shard_bytes=target) as writer:
        for part, numbers in (("", np.setdiff1d(rows, of_part)), ("2", of_part)):
            for number in numbers:
                writer.write(corpus.ids[number], corpus.values(number), part=part)
    return {xxh3_128_hexdigest(file.read_bytes()): file.stat().st_size for file in path.iterdir()}
