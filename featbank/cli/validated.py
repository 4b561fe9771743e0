"""Results of validations, from the checks on this disk or else from committed metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featbank.errors import FeatbankError
from featbank.files.json_files import read_json
from featbank.store import StoreHeader
from featbank.validation.result import CheckResult, StoreCheck, read_check

REPORTS = Path("reports")
CHECKS = Path(".featbank", "checks")

_KINDS = ("features", "tokens")
_NUMBERS = ("utterances", "failures", "frames", "bytes", "problems")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Result of validating the store of one split.

    Args:
        utterances, failures, frames, bytes, problems: that it counted.
        hours: of audio.
        header: of the store, without its list of shards; None where only metrics tell.
    """

    utterances: int
    failures: int
    frames: int
    bytes: int
    problems: int
    hours: float
    header: Mapping[str, Any] | None

    def is_of(self, header: StoreHeader) -> bool:
        """Tell whether the result is of the store that has this header."""
        if self.header is not None:
            stated = header.to_json()
            return all(stated.get(name) == value for name, value in self.header.items())
        found = (header.num_utterances, header.num_failures, header.num_frames, header.num_bytes)
        return found == (self.utterances, self.failures, self.frames, self.bytes)


def validated_stores(root: Path) -> dict[Path, dict[str, Checked]]:
    """Return what was found in every store that was validated, by its folder and split.

    Args:
        root: folder of the outputs, `data`.

    Raises:
        FeatbankError: metrics or a check are damaged.
    """
    found: dict[Path, dict[str, Checked]] = {}
    for path in sorted(REPORTS.glob("*/metrics.json")):
        metrics = read_json(
            path, what="metrics", error=FeatbankError, hint="run python stages/validate.py"
        )
        try:
            found |= _of_metrics(metrics, root, path.parent.name)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise FeatbankError(
                f"metrics {path}",
                expected="numbers by option, store and split",
                got=repr(error),
                hint="run python stages/validate.py",
            ) from error
    # a check is as new as the metrics, or newer
    for folder in (root / "checks", CHECKS):
        for path in sorted(folder.glob("*/*/*.json")):
            found |= _of_check(read_check(path), root, path.parts[-3])
    return found


def _of_metrics(
    metrics: Mapping[str, Any], root: Path, corpus: str
) -> dict[Path, dict[str, Checked]]:
    return {
        root / kind / corpus / option / name: {
            split: Checked(
                hours=float(one["hours"]),
                header=None,
                **{name: int(one.get(name, 0)) for name in _NUMBERS},
            )
            for split, one in splits.items()
            if "utterances" in one  # else a gauge of the store
        }
        for kind in _KINDS
        for option, names in metrics.get(kind, {}).items()
        for name, splits in names.items()
        if name != "inertia"  # a gauge of the option
    }


def _of_check(result: CheckResult, root: Path, corpus: str) -> dict[Path, dict[str, Checked]]:
    kind, _, option = result.name.partition("/")
    found: dict[Path, dict[str, Checked]] = {}
    for store in result.stores:
        of_name = found.setdefault(root / kind / corpus / option / store.name, {})
        # what is wrong with the option as a whole counts once a store, with its first split
        of_all = () if of_name else result.problems
        of_name[store.split] = _checked(store, sum(problem.count for problem in of_all))
    return found


def _checked(store: StoreCheck, of_all: int) -> Checked:
    return Checked(
        utterances=store.num_utterances,
        failures=store.num_failures,
        frames=store.num_frames,
        bytes=store.num_bytes,
        problems=of_all + sum(problem.count for problem in store.problems),
        hours=store.audio_s / 3600,
        header=store.header,
    )
