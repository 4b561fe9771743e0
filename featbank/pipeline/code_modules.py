"""Modules behind a function or class of featbank, and a digest of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import grimp

from featbank.errors import ConfigError
from featbank.pipeline.code_syntax import source_digest

PACKAGE = "featbank"

_CHOSEN_FROM = {("corpora", "__init__.py"), ("features", "__init__.py")}
"""Faces with a table of names, of which a definition chooses some: they count where it does."""


@dataclass(frozen=True, slots=True)
class Modules:
    """The modules of featbank: the imports and the content of each.

    Args:
        graph: of imports, those inside functions among them, those for type checkers alone not.
        digests: of each module's syntax tree, and the data that lies beside it.
    """

    graph: grimp.ImportGraph
    digests: Mapping[str, str]

    @classmethod
    def read(cls, folder: Path) -> Modules:
        """Read all modules.

        Args:
            folder: of the package, which is the `featbank` that would be imported.

        Raises:
            ConfigError: a module is no Python.
        """
        graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=True, cache_dir=None)
        return cls(graph, dict(_digests(folder)))

    def behind(self, names: Iterable[str]) -> frozenset[str]:
        """Return these modules, all that they import in turn, and the packages around each.

        What a package's face imports counts where it is imported from the face, and not where a
        module of the package is imported by its own name: importing has no effect of its own.
        """
        found: set[str] = set()
        for name in names:
            found |= {name} | self.graph.find_upstream_modules(name)
        return frozenset(found | {package for name in found for package in _around(name)})

    def module_of(self, dotted: str) -> str | None:
        """Return the module in which a dotted path such as `featbank.units.UNITS` begins."""
        name = dotted
        while name not in self.graph.modules:
            name, _, last = name.rpartition(".")
            if not last or not name:
                return None
        return None if name == PACKAGE else name

    def digest(self, names: Iterable[str], others: Iterable[str] = ()) -> str:
        """Return the SHA-256 of the modules behind `names`, in hexadecimal.

        Args:
            names: of modules.
            others: what counts besides, such as the version of another package.
        """
        told = [[name, self.digests[name]] for name in sorted(self.behind(names))]
        return hashlib.sha256(json.dumps([told, sorted(others)]).encode()).hexdigest()


def sources_digest(folder: Path) -> str:
    """Return the SHA-256 of a package's sources and data, in hexadecimal.

    Args:
        folder: of the package, or the file of a module that is no package.

    Raises:
        ConfigError: a source is no Python.
    """
    files = [folder] if folder.is_file() else _files(folder)
    root = folder.parent
    told = [[file.relative_to(root).as_posix(), _file_digest(file)] for file in sorted(files)]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _digests(folder: Path) -> Iterator[tuple[str, str]]:
    """Give each module's name and digest; data counts as part of the package that it lies in."""
    found: dict[str, list[list[str]]] = {}
    for file in sorted(_files(folder)):
        inside = file.relative_to(folder.parent)
        if file.suffix == ".py":
            name = ".".join(inside.with_suffix("").parts).removesuffix(".__init__")
        else:
            package = next(one for one in file.parents if (one / "__init__.py").is_file())
            name = ".".join(package.relative_to(folder.parent).parts)
        found.setdefault(name, []).append([inside.name, _file_digest(file)])
    for name, files in found.items():
        yield name, hashlib.sha256(json.dumps(files).encode()).hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    """Give the files of a package, but for what Python and editors leave there."""
    for path in folder.iterdir():
        if path.name.startswith(".") or path.name == "__pycache__" or path.name.endswith("~"):
            continue
        if path.is_dir():
            yield from _files(path)
        elif path.suffix != ".pyc":
            yield path


def _file_digest(file: Path) -> str:
    data = file.read_bytes()
    if file.suffix != ".py":
        return hashlib.sha256(data).hexdigest()
    try:
        return source_digest(data, without_table=file.parts[-2:] in _CHOSEN_FROM)
    except (SyntaxError, ValueError) as error:
        raise ConfigError(str(file), expected="Python", got=error) from error


def _around(name: str) -> Iterator[str]:
    while "." in name:
        name = name.rpartition(".")[0]
        yield name
