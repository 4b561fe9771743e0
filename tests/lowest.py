"""The lowest versions that pyproject.toml allows: `.ci/lowest` installs and tests them.

`python -m tests.lowest` prints them for pip, with `--extras` the extras that they are of.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
TOOLS = ("benchmarks", "dev")
"""Extras of what only works at featbank: these may be new."""


def project() -> dict[str, Any]:
    """Return the table `project` of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    return table


def extras() -> list[str]:
    """Return the extras of what featbank itself imports."""
    return [name for name in project()["optional-dependencies"] if name not in TOOLS]


def requirements() -> list[Requirement]:
    """Return what featbank and its extras need directly."""
    table = project()
    texts = [*table["dependencies"]]
    for name in extras():
        texts += table["optional-dependencies"][name]
    return [Requirement(text) for text in texts]


def lowest(requirement: Requirement) -> str | None:
    """Return the lowest version that is allowed; None where there is only a highest."""
    found = [one.version for one in requirement.specifier if one.operator == ">="]
    return found[0] if found else None


if __name__ == "__main__":
    if sys.argv[1:] == ["--extras"]:
        sys.stdout.write(",".join(extras()) + "\n")
    else:
        for one in requirements():
            if version := lowest(one):
                sys.stdout.write(f"{one.name}=={version}\n")
