"""The tree of errors that featbank raises on purpose.

Every error says what and where, what was expected, what was got, and what to do next::

    ManifestError: manifest data/manifests/demo/dev.jsonl: expected a file, got nothing there;
    run python stages/prepare.py

`AudioError` is about one utterance: a stage lists it and goes on, up to its failure budget. Every
other error is about the run and ends it.
"""

from __future__ import annotations

import pickle
import struct
import tokenize
import zipfile
from collections.abc import Sequence
from typing import Any, Literal, Self, get_args

AudioFault = Literal[
    "bad_row",  # of a table, which describes no utterance
    "repeated_id",  # another row has it, too
    "missing",  # nothing is there
    "unreadable",  # it may not be read, or its path is no path
    "bad_name",  # not UTF-8, or with a control character
    "not_a_file",  # a folder, a pipe, a device
    "empty",  # no byte
    "unknown_format",  # no audio of a kind that is read
    "truncated",  # less than it promises
    "surplus",  # more than it states, and nobody knows which is right
    "damaged",  # does not decode, or to other samples than it vouches for
    "no_samples",
    "not_finite",  # NaN or infinite samples
    "wrong_rate",
    "wrong_channel",
    "wrong_length",  # of the whole file
    "bad_segment",  # outside of its file, or empty
    "changed",  # another file than when the manifest was made
    "too_short",  # for one frame
    "bad_features",  # that the extractor made of it: not finite, or beyond the stored dtype
    "other",
]
"""What can be wrong with one utterance. Failure lists hold it as `kind`: no name ever changes."""

AUDIO_FAULTS: frozenset[str] = frozenset(get_args(AudioFault))


LIBRARY_ERRORS: tuple[type[Exception], ...] = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
)
"""What libraries raise about a damaged file of weights, centroids or arrays: none documents it."""


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

    @classmethod
    def of_absent(cls, what: str, package: str, extra: str, cause: ImportError) -> Self:
        """Return the error about an optional package that is not installed.

        Args:
            what: needs it.
            package: that is absent.
            extra: of featbank, which installs it.
            cause: which importing it gave.
        """
        hint = f'pip install "featbank[{extra}]"'
        return cls(what, expected=package, got=str(cause), hint=hint)

    def __str__(self) -> str:
        found = [f"expected {self.expected}"] if self.expected is not None else []
        found += [f"got {self.got}"] if self.got is not None else []
        text = self.what + (": " + ", ".join(found) if found else "")
        return text + (f"; {self.hint}" if self.hint else "")

    def __reduce__(self) -> tuple[object, ...]:
        # keyword arguments do not survive the default pickling between worker processes
        fields = {key: value for key, value in vars(self).items() if key not in _NOT_KEYWORDS}
        return _rebuild, (type(self), self.what, fields)


_NOT_KEYWORDS = ("what", "__notes__")


def _rebuild(kind: type[FeatbankError], what: str, fields: dict[str, Any]) -> FeatbankError:
    return kind(what, **fields)


class ConfigError(FeatbankError):
    """A configuration value that cannot be used."""


class InvalidConfigError(ConfigError):
    """Several configuration values that cannot be used, one line each.

    Args:
        faults: one or more.
    """

    def __init__(self, faults: Sequence[ConfigError]) -> None:
        super().__init__("\n".join(str(one) for one in faults))
        self.faults = tuple(faults)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.faults,)


class CorpusError(FeatbankError):
    """A corpus whose folder, table or split cannot be used."""


class AudioError(FeatbankError):
    """One utterance whose audio cannot be used: it goes to the failure list.

    Args:
        what, expected, got, hint: as of `FeatbankError`.
        kind: which fault it is.
    """

    def __init__(
        self,
        what: str,
        *,
        kind: AudioFault = "other",
        expected: object = None,
        got: object = None,
        hint: str = "",
    ) -> None:
        self.kind: AudioFault = kind
        super().__init__(what, expected=expected, got=got, hint=hint)


class ManifestError(FeatbankError):
    """A manifest that is missing, malformed or contradicts its audio."""


class StoreError(FeatbankError):
    """A store that is missing, damaged, foreign, or used against its contract."""


class WeightsError(FeatbankError):
    """Model weights that are missing or not the ones that were named."""


class RankError(FeatbankError):
    """Another rank of a launched run failed, is gone, or does something else than this one."""


class CodebookError(FeatbankError):
    """A codebook that is missing, damaged, or does not fit the features."""


class FailureBudgetError(FeatbankError):
    """More utterances failed than the run allows."""


class BadRowsError(FailureBudgetError, CorpusError):
    """More failures than the run allows, rows of the corpus's tables among them."""


class ValidationError(FeatbankError):
    """A store that does not hold what its manifest and header promise."""
