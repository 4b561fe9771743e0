"""ABX: how often a phone lies nearer to another one than to itself (Schatz et al., 2013).

A and X are two tokens of one phone, B is a token of another, and A and B have the same speaker. An
error is an X that is farther from A than from B; a tie is half a one. Within speakers X has that
speaker, too; across, another. By context, all three have the same neighbours besides.

A cell is what has the phones of A and B, the context and the speakers in common; its error is the
mean over its triples. The score is the mean over cells of the same phones and the same speaker of A
and B, then over the speakers, then over the ordered pairs of phones, as in ZeroSpeech 2021 (Nguyen
et al., 2020) and fastabx (Poli et al., 2025). 0.5 is chance.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, pairwise

import numpy as np

from featbank.quality.result import AbxScore
from featbank.quality.segments import PhoneSegment
from featbank.quality.warping import Floats, FrameDistance, warped_distances

_ByPhone = Mapping[str, Sequence[PhoneSegment]]
_Cells = dict[tuple[str, str, str], list[float]]
"""Errors of cells by the phones of A and B, and their speaker."""


def abx_error(
    segments: Iterable[PhoneSegment], distance: FrameDistance, *, across: bool, by_context: bool
) -> AbxScore | None:
    """Measure the ABX error of phones.

    Args:
        segments: with frames as `distance` takes them.
        distance: between frames.
        across: whether X has another speaker than A and B, or the same.
        by_context: whether A, B and X have the same neighbours; segments without are left out.

    Returns:
        The error; None where the segments make no cell.
    """
    groups: dict[tuple[str, str], dict[str, dict[str, list[PhoneSegment]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for one in segments:
        if one.context is not None or not by_context:
            context = one.context if by_context and one.context else ("", "")
            groups[context][one.speaker][one.phone].append(one)
    cells: _Cells = defaultdict(list)
    for by_speaker in groups.values():
        for speaker, compared in by_speaker.items():
            for other, asked in by_speaker.items():
                if (other != speaker) == across:
                    _add_cells(cells, speaker, compared, asked, distance, is_same=not across)
    if not cells:
        return None
    pairs: dict[tuple[str, str], list[float]] = defaultdict(list)
    for (phone, wrong, _), errors in cells.items():
        pairs[phone, wrong].append(sum(errors) / len(errors))
    means = [sum(errors) / len(errors) for errors in pairs.values()]
    return AbxScore(
        error_rate=round(sum(means) / len(means), 6),
        num_cells=sum(map(len, cells.values())),
        num_pairs=len(pairs),
    )


def _add_cells(
    cells: _Cells,
    speaker: str,
    compared: _ByPhone,
    asked: _ByPhone,
    distance: FrameDistance,
    *,
    is_same: bool,
) -> None:
    """Add the cells whose A and B are of `compared`, and whose X are of `asked`."""
    # alone, a segment is no A to itself
    phones = [one for one in asked if len(compared.get(one, ())) > is_same]
    if not phones or len(compared) < 2:
        return
    distances = warped_distances(
        [one.frames for phone in phones for one in asked[phone]],
        [one.frames for one in chain.from_iterable(compared.values())],
        distance,
    )
    starts = np.cumsum([0, *(len(same) for same in compared.values())])
    places = dict(zip(compared, pairwise(starts.tolist()), strict=True))
    row = 0
    for phone in phones:
        rows = distances[row : row + len(asked[phone])]
        row += len(rows)
        start, end = places[phone]
        wrong = _mean_errors(rows, start, end, is_same=is_same)
        for other, (first, last) in places.items():
            if other != phone:
                cells[phone, other, speaker].append(float(wrong[first:last].mean()))


def _mean_errors(rows: Floats, start: int, end: int, *, is_same: bool) -> Floats:
    """Return how often each column (M,), as B, lies nearer to the rows than the As do.

    Args:
        rows: (N, M) distances of the Xs.
        start: column of the first A.
        end: the one behind the last.
        is_same: whether these are the rows themselves; no row is then its own A.
    """
    errors = np.zeros(rows.shape[1])
    number = end - start - is_same
    for place, row in enumerate(rows):
        right = row[start:end]
        right = np.sort(np.delete(right, place) if is_same else right)
        # of the As, those that are farther, and half of those that are as far
        nearer, not_farther = (np.searchsorted(right, row, side) for side in ("left", "right"))
        errors += number - (nearer + not_farther) / 2
    return errors / (number * len(rows))
