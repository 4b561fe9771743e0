"""Merging of what a corpus says of an utterance with the scan of its file."""

from __future__ import annotations

from featbank.audio import AudioScan
from featbank.base.manifest import MIX_CHANNELS, UtteranceTuple, tuple_of
from featbank.base.speeds import check_speed, played_rate
from featbank.corpora.base import CorpusRow
from featbank.errors import AudioError, CorpusError

# how far a table's claim of a file's length may be off, whichever is more: tables round, and lossy
# encoders pad; what is further off is another recording, or half of it
_CLAIM_TOLERANCE_S = 0.1
_CLAIM_TOLERANCE = 0.01


def resolve(
    row: CorpusRow,
    scan: AudioScan | AudioError,
    default_channel: int | None,
    *,
    tolerance_s: float = 0,
) -> tuple[UtteranceTuple, bool]:
    """Return the manifest row of an utterance: exact samples, a true length, a definite channel.

    Args:
        row: as the corpus describes it.
        scan: what its file holds, or why it cannot be used.
        default_channel: of a row that does not say its own; None takes a file's only one.
        tolerance_s: by which a segment may end behind its file, whose end is then its own.

    Returns:
        The row, and whether its end was cut so.

    Raises:
        AudioError: the file cannot be used, or not as the corpus says, or its length is over 0.1 s
            and over 1 % away from what the corpus claims.
        CorpusError: its speed is none.
    """
    if isinstance(scan, AudioError):
        raise scan
    rate = scan.sample_rate
    if row.speed != 1:  # times are of what is played
        check_speed(row.speed, f"speed in {row.where}", CorpusError)
        rate = played_rate(rate, row.speed)
    if row.claimed_duration_s is not None:
        _check_claim(row, row.claimed_duration_s, scan.num_samples / rate)
    start = round(row.start_s * rate)
    end, is_clipped = scan.num_samples, False
    if row.duration_s is not None:
        # the end is rounded, not the length: neighbours stay neighbours
        end_s = row.start_s + row.duration_s
        end = round(end_s * rate)
        if end > scan.num_samples and end_s - scan.num_samples / rate <= tolerance_s:
            end, is_clipped = scan.num_samples, True
    if end > scan.num_samples or start >= scan.num_samples:
        raise AudioError(
            f"segment {start}:{end} in samples of {row.audio}",
            kind="bad_segment",
            expected=f"a start before and an end by {scan.num_samples}",
            got=f"{max(start, end)}",
        )
    if end <= start:
        raise AudioError(
            f"segment of {row.audio}",
            kind="bad_segment",
            expected="at least one sample",
            got="none",
        )
    utterance = tuple_of(
        (
            row.id,
            row.audio,
            scan.digest,
            scan.sample_rate,
            start,
            end - start,
            _channel(row, scan.num_channels, default_channel),
            row.speaker,
            row.language,
            row.text,
            row.part,
            row.speed,
            row.license,
            row.consent,
        )
    )
    return utterance, is_clipped


def _check_claim(row: CorpusRow, claimed_s: float, duration_s: float) -> None:
    tolerance_s = max(_CLAIM_TOLERANCE_S, _CLAIM_TOLERANCE * duration_s)
    if abs(claimed_s - duration_s) > tolerance_s:
        raise AudioError(
            f"length of {row.audio}; a segment of a file needs a start in {row.where}",
            kind="wrong_length",
            expected=f"{claimed_s} s, or up to {tolerance_s:.3g} s more or less",
            got=f"{duration_s:.3f} s",
        )


def _channel(row: CorpusRow, num_channels: int, default: int | None) -> int:
    wanted = default if row.channel is None else row.channel
    if num_channels == 1 and wanted in (None, MIX_CHANNELS):
        return 0
    if wanted is None:
        raise AudioError(
            f"{row.audio}: set corpus.channel=0 or corpus.channel=mix for a file of several",
            kind="wrong_channel",
            expected="1 channel",
            got=num_channels,
        )
    if wanted >= num_channels:
        raise AudioError(
            row.audio,
            kind="wrong_channel",
            expected=f"a channel {wanted}",
            got=f"{num_channels} channels, from 0",
        )
    return wanted
