"""What a report does not vouch for: measures that were not taken, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from featbank.report.clips import Clips
from featbank.report.metrics import token_fingerprints
from featbank.report.tables import StabilityTable
from featbank.report.words import counted
from featbank.validation.agreement import LabelCheck
from featbank.validation.result import CheckResult

_NAMED = 5
_NEVER = (
    "Whether stored bytes come out again: python stages/validate.py recompute=20 computes a "
    "sample again, and keeps its certificate beside this machine.",
    "Whether an older version differs: python stages/validate.py against=REV tells drift, and "
    "featbank diff A B every utterance.",
    "Whether the audio is still what it was: stores are held against the digests that "
    "stages/prepare.py took.",
)
_TITLES = {
    "abx": "ABX of phones",
    "ngram": "An n-gram of units",
    "speakers": "A probe for speakers",
}


def unchecked(
    results: Sequence[CheckResult], stabilities: Sequence[StabilityTable], clips: Clips
) -> Iterator[str]:
    """Give a sentence for all that was not checked or measured, alike choices together.

    Args:
        results: one an option.
        stabilities: of their tokens, as `stability_tables` gives them.
        clips: that were read of the audio.
    """
    yield from _NEVER
    lacking: dict[str, list[str]] = {}
    for result in results:
        for told in _lacking(result):
            lacking.setdefault(told, []).append(result.name)
    for name, absent, _ in stabilities:
        if absent:
            lacking.setdefault(f"How many tokens flip: {absent}", []).append(name)
    for told, names in lacking.items():
        beyond = len(names) - _NAMED
        more = f" and {beyond} more" if beyond > 0 else ""
        yield f"{told} ({', '.join(names[:_NAMED])}{more})."
    for told in clips.lacking:
        yield f"{told[0].upper()}{told[1:]}."


def _lacking(result: CheckResult) -> Iterator[str]:
    """Give what was not measured of one option."""
    is_tokens = bool(token_fingerprints(result))
    if result.quality is None:
        yield "Quality: not asked for"
    for quality in result.quality or ():
        for name, why in quality.absent.items():
            if name != "ngram" or is_tokens:  # what has no units is no worse for it
                yield f"{_TITLES.get(name, name)}: not measured, for {why}"
    if result.inertia and result.inertia.absent:
        yield f"Inertia: not measured, for {result.inertia.absent}"
    elif result.inertia:
        for split, why in result.inertia.lacking.items():
            yield f"Inertia of {split}: not measured, for {why}"
    if is_tokens:
        yield from _unlabelled([store.labels for store in result.stores if store.labels])


def _unlabelled(checks: Sequence[LabelCheck]) -> Iterator[str]:
    if not checks:
        yield "Units and phones: the corpus has no labels"
    elif lost := sum(one.num_unlabelled for one in checks):
        yield f"Units and phones: {counted(lost, 'frame')} without a label are left out"
