"""Cutting of a long waveform into overlapping windows, whose frames are stitched again.

Frame `t` of a grid sees `window_length` samples. A frame near the cut of a window lacks what lies
beyond it, if the model sees further than one frame's samples: so each window computes
`context_frames` more than it keeps at each of its cuts, and the neighbours' kept frames meet in the
middle of what both computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from featbank.base.framing import Framing
from featbank.errors import ConfigError, FeatbankError
from featbank.features.base import LongWaveform

_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One window of a waveform.

    Args:
        samples: that it reads, of the waveform.
        frames: that follow from these samples, of the waveform's.
        kept: those of them that are its own; the kept frames of all windows follow on each other.
    """

    samples: range
    frames: range
    kept: range

    @property
    def kept_rows(self) -> slice:
        """Where the kept frames stand among the computed ones."""
        return slice(self.kept.start - self.frames.start, self.kept.stop - self.frames.start)


def check_context(context_s: float, framing: Framing, max_frames: int) -> int:
    """Return how many frames a window computes beyond each of its cuts.

    Args:
        context_s: how long they last, in seconds.
        framing: the frame grid.
        max_frames: that a window may compute.

    Raises:
        ConfigError: it is negative, or leaves nothing of a window.
    """
    context_frames = round(context_s * framing.frame_rate)
    if context_s < 0 or max_frames <= 2 * context_frames:
        raise ConfigError(
            "context_s",
            expected="0 seconds or more, and under half a window of "
            f"{max_frames / framing.frame_rate:g} s",
            got=context_s,
        )
    return context_frames


def plan_windows(
    num_samples: int,
    framing: Framing,
    *,
    max_frames: int,
    context_frames: int = 0,
    multiple: int = 1,
) -> list[Window]:
    """Cut a waveform into the fewest windows, all of about the same length.

    None is left over that is short: what would be a tail of some samples is spread over all.

    Args:
        num_samples: of the waveform; at least one frame's.
        framing: the frame grid.
        max_frames: that a window may compute.
        context_frames: computed beyond each cut, but not kept.
        multiple: cuts lie at multiples of it; so do `max_frames` and `context_frames`.

    >>> framing = Framing(sample_rate=16000, window_length=400, hop_length=320)
    >>> for window in plan_windows(4000, framing, max_frames=8, context_frames=2):
    ...     print(window.samples, window.frames, window.kept)
    range(0, 2640) range(0, 8) range(0, 6)
    range(1280, 3920) range(4, 12) range(6, 12)
    """
    num_frames = framing.num_frames(num_samples)
    unit, context = multiple, context_frames // multiple
    num_units, max_units = -(-num_frames // unit), max_frames // unit
    assert num_frames > 0
    assert max_units > 2 * context
    if num_units <= max_units:
        num_windows = 1
    else:
        num_windows = -(-(num_units - 2 * context) // (max_units - 2 * context))
    # the overlaps counted twice, each window computes its share of all
    total = num_units + 2 * context * (num_windows - 1)
    bounds = [total * number // num_windows for number in range(num_windows + 1)]
    windows = []
    for number in range(num_windows):
        skipped = 2 * context * number
        first, stop = bounds[number] - skipped, bounds[number + 1] - skipped
        is_last = number == num_windows - 1
        frames = range(first * unit, num_frames if is_last else stop * unit)
        kept = range(
            (first + context) * unit if number else 0,
            num_frames if is_last else (stop - context) * unit,
        )
        windows.append(
            Window(samples=samples_seen(frames, num_samples, framing), frames=frames, kept=kept)
        )
    return windows


def read_windows(
    waveform: LongWaveform, windows: Sequence[Window]
) -> Iterator[tuple[Window, NDArray[np.float32]]]:
    """Read a waveform once and give each window with its samples, float32.

    Memory holds one window and some blocks. The waveform is read to its end, so that what is wrong
    behind the last window is noticed too.

    Raises:
        FeatbankError: the waveform ended before its `num_samples`.
    """
    blocks = waveform.blocks(_BLOCK)
    held = np.empty(0, np.float32)
    read = 0
    for window in windows:
        parts = [held]
        while read < window.samples.stop:
            block = next(blocks, None)
            if block is None:
                raise FeatbankError(
                    "a waveform that is read in blocks",
                    expected=f"{waveform.num_samples} samples",
                    got=read,
                )
            parts.append(block)
            read += len(block)
        joined = np.concatenate(parts)
        held = joined[window.samples.start - (read - len(joined)) :]
        yield window, held[: len(window.samples)]
    for _ in blocks:
        pass


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowBatch:
    """Windows of one waveform that are computed together.

    Args:
        windows: one a row, in their order.
        waveforms: (rows, samples) float32, zeros behind the end of each; rows behind the last
            window hold silence.
        num_samples: (rows,) int64; of rows without a window, all.
    """

    windows: Sequence[Window]
    waveforms: torch.Tensor
    num_samples: torch.Tensor


def window_batches(
    waveform: LongWaveform, windows: Sequence[Window], batch_samples: int
) -> Iterator[WindowBatch]:
    """Read a waveform once and give its windows in batches of one shape.

    The shape follows from the waveform's own length and `batch_samples`.

    Raises:
        FeatbankError: as `read_windows` does.
    """
    samples = max(len(window.samples) for window in windows)
    rows = rows_together(len(windows), samples, batch_samples)
    reading = read_windows(waveform, windows)
    while read := list(islice(reading, rows)):
        waveforms = torch.zeros(rows, samples)
        num_samples = torch.full((rows,), samples)
        for row, (window, held) in enumerate(read):
            waveforms[row, : len(held)] = torch.from_numpy(held)
            num_samples[row] = len(window.samples)
        yield WindowBatch(
            windows=[window for window, _ in read], waveforms=waveforms, num_samples=num_samples
        )


def rows_together(num_windows: int, samples: int, batch_samples: int) -> int:
    """Return how many windows to compute at once: they fill the fewest batches evenly.

    Args:
        num_windows: of a waveform.
        samples: of the longest.
        batch_samples: of a batch at most; one window may be longer.

    >>> rows_together(9, samples=480_000, batch_samples=3_840_000)
    5
    """
    num_batches = -(-num_windows // max(1, batch_samples // samples))
    return -(-num_windows // num_batches)


def samples_seen(frames: range, num_samples: int, framing: Framing) -> range:
    """Return the samples of the waveform that frames see."""
    span = framing.span(frames)
    return range(max(0, span.start), min(span.stop, num_samples))
