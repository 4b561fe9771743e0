"""Summary of a corpus: its counts, and warnings such as a speaker in two splits.

Audio that is in two splits, a speaker in two splits, and names that look alike are no failures: the
manifests are what the corpus says. They are warnings, counted in `corpus.json` and in the report.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from featbank.base.failures import brief
from featbank.base.terms import TermCounts, hours_of
from featbank.corpora.scratch import Scratch
from featbank.corpora.sorting import SortedLines, sortable

_NAMED = 10
_RUN_BYTES = 8 << 20
_RECENT = 100_000  # pairs of which is known that they were added

# beside each count, for whoever reads `corpus.json`
_WORDS = {
    "audio_in_several_splits": "the same audio is in several splits",
    "speakers_in_several_splits": "speakers are in several splits",
    "names_in_several_forms": "names differ in nothing but their Unicode form",
}


class SummaryTally:
    """Counts the utterances of a corpus as they go by, in bounded memory.

    Args:
        splits: of the corpus.
        scratch: for what is sorted.
    """

    def __init__(self, splits: Iterable[str], scratch: Scratch) -> None:
        # utterances and samples of each sample rate, by the rate that they are played at, too
        self._counted = {split: dict[tuple[int, int], list[int]]() for split in splits}
        self._terms = {split: TermCounts() for split in self._counted}
        self._speakers = _Places(scratch, "speakers")
        self._audio = SortedLines(scratch, "audio", run_bytes=_RUN_BYTES)
        self._names = _Places(scratch, "names")

    def add(
        self,
        utterance_id: str,
        audio: str,
        *,
        split: str,
        sample_rate: int,
        played_rate: int,
        num_samples: int,
        speaker: str,
        terms: Sequence[str],
        seen: str,
    ) -> None:
        """Count an utterance.

        Args:
            utterance_id: of it.
            audio: its file.
            split: it is in.
            sample_rate: of its file, in Hz.
            played_rate: of its samples as they are played, in Hz.
            num_samples: of it.
            speaker: of it; empty where nobody knows.
            terms: that it states, in the order of `TERMS`.
            seen: of its file, but the speed.
        """
        counted = self._counted[split].setdefault((sample_rate, played_rate), [0, 0])
        counted[0] += 1
        counted[1] += num_samples
        self._terms[split].add(terms, played_rate=played_rate, num_samples=num_samples)
        if speaker:
            self._speakers.add(speaker, split)
        self._audio.add_line(f"{seen}\t{split}\t{utterance_id}")
        if utterance_id.isascii() and audio.isascii() and speaker.isascii():
            return  # as most are
        for name in (utterance_id, audio, speaker):
            if not name.isascii():
                self._names.add(unicodedata.normalize("NFC", name), name)

    def summary(self) -> dict[str, Any]:
        """Return what was counted, for `corpus.json`."""
        speakers = Counter[str]()
        mixed_speakers = Examples()
        for speaker, splits in self._speakers.groups():
            speakers.update(list(splits))
            if len(splits) > 1:
                mixed_speakers.add(f"{speaker} ({', '.join(splits)})")
        mixed_audio = Examples()
        for ids in self._ids_of_same_audio():
            mixed_audio.add(", ".join(f"{one} ({split})" for split, one in ids.items()))
        alike = Examples()
        for name, forms in self._names.groups():
            if len(forms) > 1:
                alike.add(name)
        return {
            "splits": {
                split: {
                    "utterances": sum(number for number, _ in counted.values()),
                    "hours": hours_of(
                        (rate, samples) for (_, rate), (_, samples) in counted.items()
                    ),
                    "speakers": speakers[split],
                    **self._terms[split].told(),
                }
                for split, counted in self._counted.items()
            },
            "sample_rates": {
                str(rate): {
                    "utterances": sum(number for number, _ in of_rate.values()),
                    "hours": hours_of(
                        (played, samples) for played, (_, samples) in of_rate.items()
                    ),
                }
                for rate, of_rate in self._of_rates()
            },
            "warnings": {
                name: examples.told(_WORDS[name])
                for name, examples in (
                    ("audio_in_several_splits", mixed_audio),
                    ("speakers_in_several_splits", mixed_speakers),
                    ("names_in_several_forms", alike),
                )
            },
        }

    def _of_rates(self) -> Iterator[tuple[int, dict[int, list[int]]]]:
        """Give each sample rate, in order, with what was counted of it at each played rate."""
        total: dict[int, dict[int, list[int]]] = {}
        for counted in self._counted.values():
            for (rate, played), (number, samples) in counted.items():
                both = total.setdefault(rate, {}).setdefault(played, [0, 0])
                both[0] += number
                both[1] += samples
        yield from sorted(total.items())

    def _ids_of_same_audio(self) -> Iterator[dict[str, str]]:
        """Give the splits, and an id in each, of all audio that is in several."""
        last, ids = "", dict[str, str]()
        for line in self._audio.lines():
            seen, split, one = line.split("\t")
            if seen == last:
                ids[split] = one
                continue
            if len(ids) > 1:
                yield ids
            last, ids = seen, {split: one}
        if len(ids) > 1:
            yield ids


def told_warnings(summary: Mapping[str, Any]) -> Iterator[str]:
    """Give a sentence for each warning of a corpus's summary."""
    for found in summary["warnings"].values():
        if found["count"]:
            more = "; ..." if found["count"] > len(found["examples"]) else ""
            examples = "; ".join(found["examples"])
            yield f"{found['means']}: {found['count']:,}: {examples}{more}"


class _Places:
    """In which of a few places things are: each pair at least once, and one thing said of it."""

    def __init__(self, scratch: Scratch, name: str) -> None:
        self._lines = SortedLines(scratch, name, run_bytes=_RUN_BYTES)
        self._recent: set[tuple[str, str]] = set()

    def add(self, thing: str, place: str, said: str = "") -> None:
        if (thing, place) in self._recent:
            return
        if len(self._recent) >= _RECENT:
            self._recent.clear()
        self._recent.add((thing, place))
        self._lines.add(sortable(thing), f"{sortable(place)}\t{sortable(said)}")

    def groups(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Give each thing with its places, sorted, and what was said of it there."""
        for thing, lines in self._lines.groups():
            places: dict[str, str] = {}
            for line in lines:
                place, _, said = line.partition("\t")
                if len(places) < _NAMED:
                    places.setdefault(place, said)
            yield thing, places


class Examples:
    """Counts warnings of one kind, and keeps the first of them as examples."""

    def __init__(self) -> None:
        self._count = 0
        self._first: list[str] = []

    def add(self, example: str) -> None:
        """Count one, which may become an example."""
        self._count += 1
        if len(self._first) < _NAMED:
            self._first.append(brief(example))

    def told(self, means: str) -> dict[str, Any]:
        """Return how many there were, the first of them, and what they are examples of."""
        return {"means": means, "count": self._count, "examples": self._first}
