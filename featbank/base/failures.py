"""Failure lists: the utterances that could not be used, and how many a run may have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from math import inf
from pathlib import Path

from featbank.errors import (
    AUDIO_FAULTS,
    AudioError,
    AudioFault,
    ConfigError,
    FailureBudgetError,
    FeatbankError,
)
from featbank.files.json_files import parse_json
from featbank.files.opening import NotAFileError, TooLargeError, bounded_lines, open_regular
from featbank.files.provenance import canonical_json, write_atomic
from featbank.files.records import record
from featbank.files.remote import AnyPath, any_path

_LONG, _BRIEF = 200, 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One utterance that a step could not use.

    Args:
        id: of the utterance.
        audio: path of its file, relative to the corpus root.
        kind: which fault it is, for programs.
        error: what went wrong, for people.
        expected: what would have been right; empty when the error says it all.
        got: what was found.
    """

    id: str
    audio: str
    error: str
    expected: str = ""
    got: str = ""
    kind: AudioFault = "other"

    def __post_init__(self) -> None:
        """Check the fields, and escape what no list could hold."""
        for field in fields(self):
            text = getattr(self, field.name)
            if not isinstance(text, str):
                raise TypeError(f"{field.name} of a failure: expected a text, got {text!r}")
            if not text.isascii():
                object.__setattr__(self, field.name, printable(text))
        if self.kind not in AUDIO_FAULTS:
            raise ValueError(f"kind of a failure: expected one of AUDIO_FAULTS, got {self.kind!r}")

    @classmethod
    def of(
        cls,
        error: AudioError,
        *,
        id: str,  # noqa: A002 - the field's name
        audio: str,
        root: str | AnyPath,
    ) -> Failure:
        """Record `error` as the failure of one utterance.

        The list is part of an output, so it names the file below the corpus `root`, wherever that
        lies on this machine.
        """
        path = str(any_path(root) / audio)
        texts = (error.what, error.expected or "", error.got or "")
        what, expected, got = (text.replace(path, audio) for text in texts)
        return cls(id=id, audio=audio, kind=error.kind, error=what, expected=expected, got=got)


def printable(text: str) -> str:
    r"""Return `text` with what is no Unicode escaped: bytes of a file's name that are not UTF-8.

    >>> printable("caf\udce9.wav")
    'caf\\udce9.wav'
    """
    return text.encode(errors="backslashreplace").decode()


def brief(text: str) -> str:
    """Return `text` shortened for an error message.

    >>> brief("9" * 5000)[-30:]
    '9999... and 4,850 more letters'
    """
    if len(text) <= _LONG:
        return text
    return f"{text[:_BRIEF]}... and {len(text) - _BRIEF:,} more letters"


def write_failures(path: str | Path, failures: Iterable[Failure]) -> None:
    """Write a failure list, JSON lines sorted by id."""
    rows = sorted(failures, key=lambda failure: failure.id)
    write_atomic(path, "".join(canonical_json(asdict(row)) + "\n" for row in rows))


def read_failures(path: str | Path) -> list[Failure]:
    """Read a failure list; a list that does not exist holds no failure.

    Raises:
        FeatbankError: the list is damaged.
    """
    return list(iterate_failures(path))


def iterate_failures(path: str | Path) -> Iterator[Failure]:
    """Give the failures of a list one at a time; one that does not exist holds none.

    Raises:
        FeatbankError: the list is damaged.
    """
    where = f"failure list {path}"
    try:
        with open_regular(path) as file:
            for line in bounded_lines(file):
                yield record(Failure, parse_json(line, where, FeatbankError))
    except FileNotFoundError:
        return
    except (NotAFileError, TooLargeError) as error:
        raise FeatbankError(where, expected="a file of lines", got=error.strerror) from error
    except ValueError as error:
        raise FeatbankError(where, expected="its rows", got=error) from error


def allowed_failures(max_failures: object, total: int) -> int:
    """Return how many of `total` utterances may fail.

    Args:
        max_failures: a number of utterances, or below 1 a share of them.
        total: utterances of the run.

    Raises:
        ConfigError: it is no number from 0 on, or a broken one above 1.
    """
    usable = isinstance(max_failures, int | float) and not isinstance(max_failures, bool)
    if not usable or not 0 <= max_failures < inf:  # type: ignore[operator]
        raise ConfigError("max_failures", expected="a number from 0 on", got=repr(max_failures))
    number = float(max_failures)  # type: ignore[arg-type]
    if number < 1:
        return int(number * total)
    if not number.is_integer():
        raise ConfigError(
            "max_failures", expected="whole utterances, or a share below 1", got=max_failures
        )
    return int(number)


def check_budget(
    failures: Sequence[Failure],
    *,
    total: int,
    max_failures: float,
    path: str | Path,
    so_far: bool = False,
) -> None:
    """End the run when more utterances failed than it allows, leaving their list at `path`.

    Args:
        failures: all of the run's.
        total: utterances of the run.
        max_failures: a number of utterances, or below 1 a share of them.
        path: where the list is left.
        so_far: more of the utterances may fail, for not all were looked at.

    Raises:
        ConfigError: a negative budget.
        FailureBudgetError: over the budget; names the list and its first entry.
    """
    if len(failures) <= allowed_failures(max_failures, total):
        return
    write_failures(path, failures)
    first = min(failures, key=lambda failure: failure.id)
    raise over_budget(
        len(failures),
        first,
        total=total,
        max_failures=max_failures,
        path=path,
        so_far=so_far,
        has_changed=any(failure.kind == "changed" for failure in failures),
    )


def over_budget(
    num_failures: int,
    first: Failure,
    *,
    total: int,
    max_failures: float,
    path: str | Path,
    so_far: bool = False,
    has_changed: bool = False,
) -> FailureBudgetError:
    """Return the error of a run with more failures than it allows; see `check_budget`.

    Args:
        num_failures: of the run.
        first: of them, by id.
        total: utterances of the run.
        max_failures: as of `check_budget`.
        path: where they are listed.
        so_far: as of `check_budget`.
        has_changed: whether audio that changed since `prepare` is among them.
    """
    allowed = allowed_failures(max_failures, total)
    reason = (
        f"{first.error}: expected {first.expected}, got {first.got}" if first.got else first.error
    )
    mend = "mend them, or allow them with max_failures"
    if has_changed:
        mend = f"for those that changed run python stages/prepare.py again; {mend}"
    return FailureBudgetError(
        f"{num_failures} of {total} utterances failed{' so far' * so_far}, the first "
        f"{first.id!r} ({reason})",
        expected=f"at most {allowed}",
        got=num_failures,
        hint=f"they are listed in {path}; {mend}",
    )
