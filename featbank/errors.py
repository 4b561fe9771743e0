"""What can go wrong, as one tree.

Every error says what and where, what was expected, what was got, and what to do next::

    ManifestError: manifest data/manifests/demo/dev.jsonl: expected a file, got nothing there;
    run python stages/prepare.py

`AudioError` is about one utterance: a stage lists it and goes on, up to its failure budget. Every
other error is about the run and ends it.
"""

from __future__ import annotations


class FeatbankError(Exception):
    """Base of every error featbank raises on purpose.

    Args:
        what: what went wrong and where, without a final full stop.
        expected: what would have been right.
        got: what was found instead.
        hint: what to do next.
    """

    def __init__(
        self,
        what: str,
        *,
        expected: object = None,
        got: object = None,
        hint: str = "",
    ) -> None:
        self.what = what
        self.expected = None if expected is None else str(expected)
        self.got = None if got is None else str(got)
        self.hint = hint
        super().__init__(what)

    def __str__(self) -> str:
        found = [f"expected {self.expected}"] if self.expected is not None else []
        found += [f"got {self.got}"] if self.got is not None else []
        text = self.what + (": " + ", ".join(found) if found else "")
        return text + (f"; {self.hint}" if self.hint else "")

    def __reduce__(self) -> tuple[object, ...]:
        # keyword arguments do not survive the default pickling between worker processes
        return _rebuild, (type(self), self.what, self.expected, self.got, self.hint)


def _rebuild(
    kind: type[FeatbankError], what: str, expected: str | None, got: str | None, hint: str
) -> FeatbankError:
    return kind(what, expected=expected, got=got, hint=hint)


class ConfigError(FeatbankError):
    """A configuration value that cannot be used."""


class CorpusError(FeatbankError):
    """A corpus whose folder, table or split cannot be used."""


class AudioError(FeatbankError):
    """One utterance whose audio cannot be used: it goes to the failure list."""


class ManifestError(FeatbankError):
    """A manifest that is missing, malformed or contradicts its audio."""


class StoreError(FeatbankError):
    """A store that is missing, damaged, foreign, or used against its contract."""


class WeightsError(FeatbankError):
    """Model weights that are missing or not the ones that were named."""


class CodebookError(FeatbankError):
    """A codebook that is missing, damaged, or does not fit the features."""


class FailureBudgetError(FeatbankError):
    """More utterances failed than the run allows."""


class ValidationError(FeatbankError):
    """A store that does not hold what its manifest and header promise."""
