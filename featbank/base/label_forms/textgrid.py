"""TextGrids, as Praat and the Montreal Forced Aligner write them, read by praatio."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from featbank.errors import LIBRARY_ERRORS, ConfigError, CorpusError
from featbank.files.opening import open_regular

_MAX_BYTES = 64 << 20


def textgrid_rows(path: Path, tier: str) -> list[list[float | str]]:
    """Return the labels of a tier, each `[start_s, end_s, label]`; empty intervals are none.

    Args:
        path: of the TextGrid.
        tier: its name; `ann - phones`, as of one of several speakers, is `phones`, too, where it is
            the only one.

    Raises:
        ConfigError: praatio is not installed.
        CorpusError: it is no TextGrid, or has no such tier, or several.
        OSError: as of `open_regular`.
    """
    try:
        textgrid, errors = (
            import_module(f"praatio.{name}") for name in ("textgrid", "utilities.errors")
        )
    except ImportError as error:
        raise ConfigError.of_absent("labels in TextGrids", "praatio", "textgrid", error) from error
    with open_regular(path) as file:  # praatio would wait for a pipe
        if file.seek(0, 2) > _MAX_BYTES:
            raise CorpusError(f"labels {path}", expected=f"{_MAX_BYTES} bytes", got=file.tell())
    try:
        grid = textgrid.openTextgrid(str(path), False, reportingMode="silence")
    except (errors.PraatioException, *LIBRARY_ERRORS) as error:
        got = " ".join(f"{error}".split())[:200] or type(error).__name__
        raise CorpusError(f"labels {path}", expected="a TextGrid", got=got) from error
    names = [name for name in grid.tierNames if name == tier] or [
        name for name in grid.tierNames if name.endswith(f" - {tier}")
    ]
    if len(names) != 1:
        raise CorpusError(
            f"labels {path}",
            expected=f"one tier {tier!r}",
            got=f"tiers {', '.join(map(repr, grid.tierNames))}",
            hint="name one of them: corpus.labels: {path: ..., tier: NAME}",
        )
    found = grid.getTier(names[0])
    if not isinstance(found, textgrid.IntervalTier):
        raise CorpusError(f"labels {path}", expected=f"intervals in {tier!r}", got="points")
    return [[start, end, label] for start, end, label in found.entries]
