"""Record of what was laid down: the version, the choices, and a digest of each file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import Version

from featbank import __version__
from featbank.errors import ConfigError, FeatbankError
from featbank.files.json_files import read_json
from featbank.files.provenance import readable_json, write_atomic
from featbank.project.chosen_files import PROJECT_NAME, ProjectChoices

NEWER_HINT = "pip install -r requirements.txt, in the folder of the project, installs that one"
"""What is to be typed where the installed version is older than the project's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaidDown:
    """What was laid down in a project.

    Args:
        version: of featbank, that laid it down or upgraded it last.
        choices: that it was laid down for.
        files: SHA-256 of each, as that version has it, by its path.
    """

    version: str
    choices: ProjectChoices
    files: Mapping[str, str]

    @property
    def is_newer(self) -> bool:
        """Whether a newer version laid it down than the one that is installed."""
        return Version(self.version) > Version(__version__)


def read_laid_down(folder: Path) -> LaidDown | None:
    """Read the record of a project; None where nothing was laid down.

    Raises:
        ConfigError: it is none.
    """
    path = folder / PROJECT_NAME
    if not path.exists():
        return None
    hint = f"take it out of git again: git checkout {PROJECT_NAME}"
    said = read_json(path, what="record of what was laid down", error=ConfigError, hint=hint)
    try:
        return LaidDown(
            version=_version(said["version"]),
            choices=ProjectChoices(
                layout=_text(said["layout"]),
                corpus=_text(said["corpus"]),
                url=said["url"] and _text(said["url"]),
                is_flat=bool(said["flat"]),
                features=tuple(map(_text, said["features"])),
            ),
            files={_text(name): _text(digest) for name, digest in said["files"].items()},
        )
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError(
            str(path), expected="what `featbank init` wrote", got=error, hint=hint
        ) from error


def write_laid_down(folder: Path, record: LaidDown) -> None:
    """Write the record of a project, whole or not at all."""
    chosen = record.choices
    said = {
        "version": record.version,
        "layout": chosen.layout,
        "corpus": chosen.corpus,
        "url": chosen.url,
        "flat": chosen.is_flat,
        "features": list(chosen.features),
        "files": dict(record.files),
    }
    write_atomic(folder / PROJECT_NAME, readable_json(said))


def check_version() -> None:
    """Refuse a project here that another version of featbank was laid down by.

    Its definitions and its code would be of two versions.

    Raises:
        ConfigError: it was.
    """
    if fault := version_fault():
        raise fault


def version_fault() -> FeatbankError | None:
    """Return what is wrong with the version that is installed, for the project here."""
    record = read_laid_down(Path())
    if record is None or record.version == __version__:
        return None
    hint = (
        "type featbank init . --upgrade, and dvc repro runs what the new code changes; or pip "
        "install -r requirements.txt, for the old one"
    )
    if record.is_newer:
        hint = NEWER_HINT
    return ConfigError(
        "version of featbank",
        expected=f"{record.version}, of which this project is",
        got=__version__,
        hint=hint,
    )


def _version(value: Any) -> str:
    Version(text := _text(value))  # or a ValueError
    return text


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
