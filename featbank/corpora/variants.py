"""Several utterances of one row: one a channel of its file, one a speed that it is played at."""

from __future__ import annotations

from collections.abc import Iterator

from featbank.audio import AudioScan
from featbank.base.manifest import UtteranceTuple
from featbank.base.speeds import check_speed, speed_prefix
from featbank.corpora.base import CorpusRow
from featbank.errors import AudioError, CorpusError


def of_channels(row: CorpusRow, scan: AudioScan | AudioError) -> Iterator[CorpusRow]:
    """Give a row for each channel of a file of several; a row as it is where it says its channel.

    Names end in `-ch0`, as those of a table's rows that say their channel and no id do. So does the
    speaker's, where one is known: on the channels of a call are different people.
    """
    if isinstance(scan, AudioError) or scan.num_channels == 1 or row.channel is not None:
        yield row
        return
    for channel in range(scan.num_channels):
        yield row._replace(
            id=f"{row.id}-ch{channel}",
            channel=channel,
            speaker=row.speaker and f"{row.speaker}-ch{channel}",
        )


def at_speed(utterance: UtteranceTuple, speed: float) -> UtteranceTuple:
    """Return an utterance played at a speed; its id and its speaker's say so, as in Kaldi.

    >>> slow = at_speed(UtteranceTuple("a", "a.wav", "md5:", 8000, 0, 80, 0, "bo", "", "", ""), 0.9)
    >>> slow.id, slow.speaker, slow.speed
    ('sp0.9-a', 'sp0.9-bo', 0.9)

    Raises:
        CorpusError: of a row that the corpus plays at a speed, which is too slow or fast then.
    """
    if speed == 1:
        return utterance
    # of a row that is played at a speed already, the product, less what floats add to it
    product = float(f"{utterance.speed * speed:g}")
    prefix = speed_prefix(speed)
    return utterance._replace(
        id=prefix + utterance.id,
        speaker=utterance.speaker and prefix + utterance.speaker,
        speed=check_speed(product, f"speed of {utterance.id!r}", CorpusError),
    )
