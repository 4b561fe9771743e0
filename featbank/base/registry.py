"""Registries: the public names of the replaceable components, one table of strings for each kind.

The face of a kind's package holds its registry, and imports none of the classes. Other installed
packages add components of their own by entry points in the kind's group:

    [project.entry-points."featbank.extractors"]
    loudness = "mylab.loudness:Loudness"
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from featbank.errors import ConfigError

_OURS = "featbank"


@dataclass(frozen=True, slots=True)
class Registered:
    """Entry of a registry: a component's public name and its class.

    Args:
        name: that identifies it, wherever its class lies.
        place: of its class: `module:Class`.
        by: the distribution that registers it.
    """

    name: str
    place: str
    by: str

    @property
    def path(self) -> str:
        """Dotted path of the class, as `_target_` gives it."""
        return self.place.replace(":", ".")

    def load(self) -> type:
        """Import its class.

        Raises:
            ConfigError: there is none at its place.
        """
        module, _, attribute = self.place.partition(":")
        try:
            found = import_module(module)
            for step in attribute.split("."):
                found = getattr(found, step)
        except (ImportError, AttributeError, SyntaxError, ValueError) as error:
            raise ConfigError(
                f"{self.name!r}, as {self.by} registers it",
                expected=f"a class at {self.place}",
                got=str(error),
            ) from error
        if not isinstance(found, type):
            raise ConfigError(
                f"{self.name!r}, as {self.by} registers it",
                expected=f"a class at {self.place}",
                got=type(found).__name__,
            )
        return found


@dataclass(frozen=True, slots=True)
class Registry:
    """Registry of the components of one kind, featbank's own and those of installed packages.

    Args:
        kind: what they are, for errors: `extractor`.
        group: of the entry points by which other packages add theirs: `featbank.extractors`.
        contract: `module:Class` of what each of them is.
        table: name -> `module:Class`, of featbank's own.
    """

    kind: str
    group: str
    contract: str
    table: Mapping[str, str]

    def components(self) -> Iterator[Registered]:
        """Give every component, featbank's own first; a name may come twice."""
        for name, place in self.table.items():
            yield Registered(name, place, _OURS)
        for one in entry_points(group=self.group):
            yield _registered(one)

    def load_contract(self) -> type:
        """Import the contract of the components: a base class, or a protocol."""
        return Registered(self.kind, self.contract, _OURS).load()

    def find(self, name: str) -> Registered:
        """Return the component of a name.

        Raises:
            ConfigError: there is none, or more than one.
        """
        found = list(dict.fromkeys(one for one in self.components() if one.name == name))
        if not found:
            raise ConfigError(
                f"{self.kind} {name!r}",
                expected=f"one of {', '.join(sorted({one.name for one in self.components()}))}",
                got="a name that nothing is registered under",
            )
        return _only(found, f"{self.kind} {name!r}")

    def name_of(self, component: type) -> str | None:
        """Return the name that a class is registered under; None for a class that is not.

        Neither the module it is defined in nor the name it has there need be those of its place.

        Raises:
            ConfigError: another class is registered under that name, too.
        """
        own = f"{component.__module__}:{component.__qualname__}"
        for one in self.components():
            if one.place == own or _is_at(component, one.place):
                return self.find(one.name).name
        return None

    def named(self, path: str) -> Registered | None:
        """Return the component of featbank's own that a `_target_` names; nothing is imported.

        Args:
            path: of its class, or any below the kind's package that ends in the class's name.
        """
        face = self.contract.partition(":")[0].rpartition(".")[0]
        if not path.startswith(f"{face}."):
            return None
        attribute = path.rpartition(".")[2]
        for name, place in self.table.items():
            if place.rpartition(":")[2] == attribute:
                return Registered(name, place, _OURS)
        return None

    def offer(self, attribute: str) -> type:
        """Return a class, or the contract, by its own name: for the package's `__getattr__`.

        Raises:
            AttributeError: no class of featbank's own is called that.
        """
        if self.contract.rpartition(":")[2] == attribute:
            return self.load_contract()
        for name, place in self.table.items():
            if place.rpartition(":")[2] == attribute:
                return Registered(name, place, _OURS).load()
        raise AttributeError(f"no {self.kind} of featbank is called {attribute!r}")


def registered_class(path: str) -> type | None:
    """Return the class that a dotted path names, if its own package registers just that class.

    It may be named by the path that is registered, by the one it is defined under, or by any other
    in a module that importing it brings in. Nothing else is imported.

    Raises:
        ConfigError: the class is registered and cannot be loaded, or another one is, too, under the
            same name.
    """
    package = path.partition(".")[0]
    for group in sorted(entry_points().groups):
        if not group.startswith(f"{_OURS}."):
            continue
        every = list(map(_registered, entry_points(group=group)))
        for one in every:
            if one.path == path or (one.path.partition(".")[0] == package and _leads_to(path, one)):
                same = [other for other in every if other.name == one.name]
                return _only(list(dict.fromkeys(same)), f"{one.name!r} of {group}").load()
    return None


def _leads_to(path: str, one: Registered) -> bool:
    """Tell whether a path is another one of a class that is registered, and can be loaded."""
    try:
        found = one.load()
    except ConfigError:  # of a component that nobody asked for
        return False
    module, _, name = path.rpartition(".")
    is_defined_there = path == f"{found.__module__}.{found.__qualname__}"
    return is_defined_there or getattr(sys.modules.get(module), name, None) is found


def _only(found: Sequence[Registered], what: str) -> Registered:
    """Return the one component of a name.

    Raises:
        ConfigError: there are two.
    """
    if len({one.place for one in found}) > 1:
        raise ConfigError(
            what,
            expected="one class of that name",
            got=" and ".join(f"{one.place} by {one.by}" for one in found),
            hint="register one of them under another name, or remove its package",
        )
    return found[0]


def _registered(one: EntryPoint) -> Registered:
    by = f"{one.dist.name} {one.dist.version}" if one.dist else "an unknown package"
    return Registered(one.name, one.value.partition("[")[0].replace(" ", ""), by)


def _is_at(component: type, place: str) -> bool:
    """Tell whether a class is what lies at a place, defined there or not."""
    module, _, attribute = place.partition(":")
    if module not in sys.modules and attribute == component.__name__:
        with suppress(ImportError, ConfigError):  # then it is another class of that name
            import_module(module)
    return getattr(sys.modules.get(module), attribute, None) is component
