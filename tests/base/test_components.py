"""What an argument means, whoever spelled it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from featbank.base.building import build
from featbank.base.components import Component, meaning, original
from featbank.errors import ConfigError
from featbank.files.provenance import canonical_json


class Smoother(Component):
    version = 2
    changes_nothing = frozenset({"verbose"})

    def __init__(self, *, width: int = 3, scale: float = 1.0, verbose: bool = False) -> None:
        pass


class Wide(Smoother):
    changes_nothing = frozenset({"label"})

    def __init__(self, *, label: str = "", tail: int = 0, **settings: Any) -> None:
        super().__init__(**settings)
        self.label, self.tail = label, tail


class Renamed(Wide):
    """An old name of it."""


class Chain(Component):
    version = 1

    def __init__(
        self,
        parts: Sequence[Smoother] = (),
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.parts, self.options = parts, options


class Bare:
    """No part, and of no package that knows of them."""

    def __init__(self, size: int = 1, name: str = "a") -> None:
        self.size, self.name = size, name


class Around(Component):
    version = 1

    def __init__(self, *, inner: Bare | None = None) -> None:
        self.inner = inner


@dataclass(frozen=True)
class Point:
    x: float
    y: float = 0.0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (21, 21.0),
        (21, np.int64(21)),
        (0.5, np.float32(0.5)),
        (0.0, -0.0),
        (1e2, 100),
        (10**17, 1e17),
        ((1, 2), [1.0, 2.0]),
        (np.array([1, 2]), [1, 2]),
        ({"a": 1, "b": (2,)}, MappingProxyType({"b": [2.0], "a": np.int8(1)})),
        ({2, 1}, frozenset([1.0, 2])),
        (Smoother(), Smoother(width=3, scale=1, verbose=True)),
        ([Smoother(scale=2)], (Smoother(scale=2.0),)),
        (Wide(width=5), Renamed(label="x", scale=1, width=5)),
        (Point(1), Point(1.0, 0)),
        (PurePosixPath("a/b"), "a/b"),
    ],
)
def test_equal_meanings_are_told_alike(one: object, other: object) -> None:
    assert canonical_json(meaning(one, "")) == canonical_json(meaning(other, ""))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (0, None),
        (1, "1"),
        (2**53, 2**53 + 1),
        (0.1, 0.1 + 2**-55),
        ([1, 2], [2, 1]),
        ("ab", ["a", "b"]),
        ({1: "a"}, {"1": "a"}),
        (Smoother(), Wide()),
        (Smoother(), Smoother(scale=1.5)),
        (Wide(), Wide(width=4)),
        (Point(1), Point(2)),
        (float("inf"), float("-inf")),
    ],
)
def test_other_meanings_are_told_apart(one: object, other: object) -> None:
    assert canonical_json(meaning(one, "")) != canonical_json(meaning(other, ""))


def test_arguments_are_those_that_are_bound_wherever_a_base_takes_them() -> None:
    found = Wide(width=4, label="mine").identity()
    assert found.name == "tests.base.test_components.Wide"
    assert found.version == 2
    assert found.arguments == {"tail": 0, "width": 4, "scale": 1}


def test_arguments_that_a_class_hands_on_in_place_are_bound_by_name() -> None:
    class Handing(Chain):
        def __init__(self, *rest: Any, **settings: Any) -> None:
            super().__init__(*rest, **settings)

    class Taking(Component):
        version = 1

        def __init__(self, *sizes: int) -> None:
            self.sizes = sizes

    found = Handing([Smoother()]).identity()
    assert found == Handing(parts=[Smoother()], options={}).identity() != Handing().identity()
    assert Taking(1, 2).identity() == Taking(1, 2.0).identity() != Taking(2, 1).identity()  # type: ignore[arg-type]


def test_an_argument_that_a_class_fixes_for_its_base_is_none_of_its_own() -> None:
    class Needing(Component):
        version = 1

        def __init__(self, *, rate: int, size: int = 1) -> None:
            self.rate, self.size = rate, size

    class Fixed(Needing):
        def __init__(self, **settings: Any) -> None:
            super().__init__(rate=8, **settings)

    assert Fixed(size=2).identity().arguments == {"size": 2}
    with pytest.raises(TypeError, match="rate"):
        Needing()  # type: ignore[call-arg]


def test_what_a_dataclass_takes_and_does_not_keep_counts_as_it_was_given() -> None:
    """The class has the default of an `InitVar` under its name."""

    @dataclass
    class Boosted(Component):
        version = 1
        width: int = 3
        boost: InitVar[float] = 1.0

        def __post_init__(self, boost: float) -> None:
            self.width += round(boost)

    assert Boosted(boost=3.0).identity().arguments == {"width": 6, "boost": 3}


def test_a_subclass_with_a_body_of_its_own_is_another_part() -> None:
    class Other(Wide):
        def extra(self) -> None:
            """Do what the base does not."""

    assert original(Renamed) is Wide
    assert original(Other) is Other
    assert Renamed().identity() == Wide().identity() != Other().identity()


def test_parts_at_any_depth_count_by_their_own_identity() -> None:
    inside = Chain(options={"a": [{"b": Smoother(width=7)}]}).identity()
    [told] = [one["b"] for one in inside.arguments["options"]["a"]]
    assert told == Smoother(width=7, verbose=True).identity().to_json()


def test_an_object_of_any_class_counts_by_the_arguments_it_was_built_with() -> None:
    bare = {"_target_": "tests.base.test_components.Bare"}
    one, same, other = (
        build(
            {"_target_": "tests.base.test_components.Around", "inner": inner}, ["tests"]
        ).identity()
        for inner in (bare, {"name": "a", "size": np.int64(1), **bare}, {**bare, "size": 2})
    )
    assert one == same != other


def test_an_object_that_nothing_is_known_of_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"Around: inner: expected plain values.* got an obj.*Bare"
    ):
        Around(inner=Bare(2)).identity()


def test_a_part_without_a_version_is_refused() -> None:
    class Unversioned(Component):
        pass

    with pytest.raises(
        ConfigError, match="Unversioned: version: expected a whole number, got None"
    ):
        Unversioned().identity()


def test_arguments_that_no_constructor_takes_are_refused() -> None:
    class Plain(Component):
        version = 1

    with pytest.raises(TypeError):
        Plain(width=1)  # type: ignore[call-arg]
