"""Labels of utterances that were made of others: at another speed, or of one channel.

The ids say it, as `featbank.corpora` makes them: `sp0.9-a` is `a` at that speed, and `a-ch0` the
first channel of `a`. Labels of such an id are its own; where there are none, those of what it was
made of are taken, in the times that they have then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from featbank.base.labels import Intervals, Labels
from featbank.base.speeds import without_speed

_CHANNEL = re.compile(r"(.+)-ch([0-9]{1,4})", re.DOTALL)


def find_labels(labels: Labels, utterance_id: str) -> Intervals | None:
    """Return the labels of an utterance in its own time; None where there are none.

    Args:
        labels: of its corpus.
        utterance_id: as of a manifest.

    Raises:
        CorpusError: the labels are missing or malformed.
    """
    source = _source(labels, utterance_id)
    found = source and labels.find(source.id, source.channel)
    return found.at_speed(source.speed) if source and found else None


def has_labels(labels: Labels, utterance_id: str) -> bool:
    """Tell whether files name an utterance, or what it was made of; they are not read.

    Raises:
        CorpusError: the labels are missing or malformed.
    """
    return _source(labels, utterance_id) is not None


def origins(name: str) -> Iterator[str]:
    """Give the ids that an utterance goes back to, or the names of a speaker, its own first.

    >>> list(origins("sp0.9-a-ch0"))
    ['sp0.9-a-ch0', 'sp0.9-a', 'a-ch0', 'a']
    """
    return (source.id for source in _sources(name))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """An id whose labels may be those of an utterance.

    Args:
        id: as labels name it.
        speed: that the utterance plays what has the id at.
        channel: of what has the id, where the utterance is one of its channels.
    """

    id: str
    speed: float = 1.0
    channel: int | None = None


def _source(labels: Labels, utterance_id: str) -> _Source | None:
    sources = list(_sources(utterance_id))
    names = [labels.name_of(one.id) for one in sources]
    for number, name in enumerate(names):
        # labels of `a` are named by the end of `sp0.9-b/a`, too, and are not in its time
        if name is not None and name not in names[number + 1 :]:
            return sources[number]
    return None


def _sources(utterance_id: str) -> Iterator[_Source]:
    """Give ids that an utterance has its labels of, the nearest first."""
    played: tuple[float, str] | None = (1.0, utterance_id)
    speed = 1.0
    while played is not None:
        speed *= played[0]
        one = played[1]
        yield _Source(id=one, speed=speed)
        if found := _CHANNEL.fullmatch(one):
            yield _Source(id=found[1], speed=speed, channel=int(found[2]))
        played = without_speed(one)
