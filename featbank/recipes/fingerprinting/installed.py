"""Origin of code: the user's own, or of an installed package, which has a version."""

from __future__ import annotations

import re
import sys
import sysconfig
from functools import lru_cache
from importlib import metadata
from pathlib import Path

import featbank

_STANDARD = tuple(
    {str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib")}
)
_OURS = str(Path(featbank.__file__).resolve().parent)
# what a build of torch adds to its version: the same digest on every device
_BUILD = re.compile(r"\+(cpu|cu\d+|rocm[\d.]*|xpu)$")
STANDARD_LIBRARY = "python"

VALUES_SINCE = "0.1.0"
"""The release that last changed a value which featbank may compute in a recipe.

It stands for featbank's own version in fingerprints: a release that changes no value leaves what
recipes have stored as it is.
"""


def package_of(module_name: str | None, filename: str | None = None) -> str | None:
    """Return the package that some code belongs to, or None if it is the user's own.

    A package that is installed where it is edited (`pip install -e`) is the user's own code.

    Args:
        module_name: of the module that defines it.
        filename: of its source; by default that of the module.

    Returns:
        The name that it is imported by; `STANDARD_LIBRARY` for what comes with Python.
    """
    name = module_name or ""
    top = name.partition(".")[0]
    if filename is None:
        if top in sys.stdlib_module_names and top != "__main__":
            return STANDARD_LIBRARY
        module = sys.modules.get(name)
        if module is None or (filename := getattr(module, "__file__", None)) is None:
            module = sys.modules.get(top)
            filename = getattr(module, "__file__", None)
    return _package_of_file(filename, top) if filename else None


@lru_cache(maxsize=4096)
def _package_of_file(filename: str, top: str) -> str | None:
    if filename.startswith("<frozen"):
        return STANDARD_LIBRARY
    path = Path(filename)
    for folder in ("site-packages", "dist-packages"):
        if folder in path.parts:
            behind = path.parts[len(path.parts) - path.parts[::-1].index(folder) :]
            return behind[0].partition(".")[0] if behind else top
    resolved = str(path.resolve())
    if resolved.startswith(_OURS + "/"):
        return "featbank"
    if any(resolved.startswith(one + "/") for one in _STANDARD):
        return STANDARD_LIBRARY
    return None


def distribution(package: str) -> tuple[str, str]:
    """Return the name and the version of what installed a package; of several, all.

    That of featbank is the release since which its values are what they are.

    >>> distribution("numpy")[0]
    'numpy'
    """
    if package == "featbank":
        return package, VALUES_SINCE
    names = sorted(set(_distributions().get(package, ())))
    if not names:  # by hand, without a distribution
        version = getattr(sys.modules.get(package), "__version__", None)
        return package, str(version)
    versions = [_BUILD.sub("", metadata.version(name)) for name in names]
    return " ".join(names), " ".join(versions)


@lru_cache(maxsize=1)
def _distributions() -> dict[str, list[str]]:
    return dict(metadata.packages_distributions())
