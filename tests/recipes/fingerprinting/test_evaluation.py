"""Evaluation mode reaches every module and leaves it as it was; state that use makes is refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from featbank.errors import ConfigError
from featbank.recipes import FeatureBrain
from featbank.recipes.fingerprinting import evaluating


def used(module: torch.nn.Module, values: torch.Tensor) -> torch.Tensor:
    result: torch.Tensor = module(values)
    return result


class Holder:
    __slots__ = ("inner",)

    def __init__(self, inner: object) -> None:
        self.inner = inner


def closing_over(module: torch.nn.Module) -> Callable[..., Any]:
    def call(values: torch.Tensor) -> torch.Tensor:
        return used(module, values)

    return call


GLOBAL = torch.nn.Dropout(0.5)


def names_a_global(values: torch.Tensor) -> torch.Tensor:
    return used(GLOBAL, values)


class Unregistered(torch.nn.Module):
    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.several = [inner]


HOLDERS: dict[str, Callable[[torch.nn.Module], Any]] = {
    "itself": lambda module: module,
    "a list in a dict": lambda module: {"a": [1, (module,)]},
    "a partial": lambda module: partial(used, module),
    "a keyword of a partial": lambda module: partial(used, values=1, module=module),
    "a method": lambda module: module.forward,
    "slots": Holder,
    "attributes": lambda module: SimpleNamespace(a=SimpleNamespace(b=module)),
    "a closure": closing_over,
    "a default": lambda module: lambda values, module=module: used(module, values),
    "a child": torch.nn.Sequential,
    "a list that torch does not see": Unregistered,
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_a_module_is_reached_in_what_holds_it(holder: str) -> None:
    module = torch.nn.Dropout(0.5)
    held = SimpleNamespace(entry=HOLDERS[holder](module))
    with evaluating([], held):
        assert not module.training
        assert torch.is_inference_mode_enabled()
        assert torch.equal(module(torch.ones(99)), torch.ones(99))
    assert module.training
    assert not torch.is_inference_mode_enabled()


def test_a_global_that_the_code_names_is_reached() -> None:
    with evaluating([], None, names_a_global):
        assert torch.equal(names_a_global(torch.ones(99)), torch.ones(99))
    assert GLOBAL.training


def test_each_module_has_its_own_mode_again_also_after_an_error() -> None:
    mixed = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Dropout(0.5).eval())

    def fail() -> None:
        with evaluating([mixed], {"other": mixed}):
            assert not any(module.training for module in mixed.modules())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [module.training for module in mixed.modules()] == [True, True, False]


class Remembers(torch.nn.Module):
    """Makes and keeps all kinds of things when it is used."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = {"a": 1}
        self.first = True

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        self.seen["b"] = len(values)
        self.first = False
        self.kernel = torch.ones(3)
        return values


def test_what_a_module_makes_by_use_is_gone_after() -> None:
    module = Remembers()
    with evaluating([module]) as evaluation:
        for _ in range(3):
            module(torch.ones(2))
            evaluation.refuse_changed()
    assert (module.seen, module.first) == ({"a": 1}, True)
    assert not hasattr(module, "kernel")


class Normaliser(torch.nn.Module):
    """Keeps a mean of what it saw, in one of several ways."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.register_buffer("buffer", torch.zeros(2))
        self.parameter = torch.nn.Parameter(torch.zeros(2))
        self.attribute = torch.zeros(2)
        self.number = 0.0
        self.first: torch.Tensor | None = None

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        mean = values.mean(0)
        if self.how == "a buffer in place":
            self.buffer.add_(mean)
        elif self.how == "a buffer past the count of writes":
            self.buffer.data.add_(mean)
        elif self.how == "a buffer that is replaced":
            self.buffer = self.buffer + mean
        elif self.how == "a parameter":
            self.parameter.add_(mean)
        elif self.how == "an attribute":
            self.attribute = 0.5 * self.attribute + mean
        elif self.how == "a float":
            self.number += float(mean.sum())
        elif self.first is None:
            self.first = mean
        return values


@pytest.mark.parametrize(
    ("how", "name"),
    [
        ("a buffer in place", "buffer"),
        ("a buffer past the count of writes", "buffer"),
        ("a buffer that is replaced", "buffer"),
        ("a parameter", "parameter"),
        ("an attribute", "attribute"),
        ("a float", "number"),
        ("the first batch", "first"),
    ],
)
def test_state_that_follows_from_what_was_computed_is_refused(how: str, name: str) -> None:
    module = Normaliser(how)

    def compute() -> None:
        with evaluating({"norm": module}) as evaluation:
            for batch in range(1, 4):
                module(torch.full((3, 2), float(batch)))
                evaluation.refuse_changed()

    with pytest.raises(
        ConfigError, match=rf"modules\.norm\.{name} of a Normaliser: .*order of the"
    ):
        compute()


class Late(torch.nn.Module):
    """Makes its inner module when it is first used."""

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self.mode = mode
        self.inner: torch.nn.Module | None = None

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        if self.inner is None:
            self.inner = torch.nn.Dropout(0.5).train(self.mode)
        return used(self.inner, values)


@pytest.mark.parametrize("mode", [True, False])
def test_a_module_that_the_first_batch_makes_is_refused_in_training_mode(mode: bool) -> None:
    module = Late(mode)

    def compute() -> None:
        with evaluating({"late": module}) as evaluation:
            module(torch.ones(3))
            evaluation.refuse_changed()

    if not mode:
        compute()
        return
    with pytest.raises(ConfigError, match=r"modules\.late\.inner, a Dropout: .* in training mode"):
        compute()


class Positions(torch.nn.Module):
    """Makes as many positions as the longest batch so far needs."""

    pe = torch.zeros(0)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        if len(self.pe) < len(values):
            self.pe = torch.arange(float(len(values)))
        return values + self.pe[: len(values), None]


def test_tables_that_grow_with_the_longest_batch_are_no_such_state() -> None:
    module = Positions()
    with evaluating([module]) as evaluation:
        for length in (3, 2, 5, 5, 1, 9):
            module(torch.ones(length, 2))
            evaluation.refuse_changed()
    assert len(module.pe) == 0


class RunningMean:
    """A normaliser that is no module of torch, so that evaluation mode means nothing to it."""

    mean = 0.0

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        self.mean = 0.5 * self.mean + 0.5 * float(values.mean())
        return values - self.mean


class Recipe(FeatureBrain):
    normalise: Any

    def compute_features(self, batch: Any, stage: str) -> Any:
        del stage
        return [{"id": f"u{batch}", "x": self.normalise(torch.full((5, 2), float(batch)))}]


def test_state_in_what_is_no_module_is_refused_before_anything_is_kept(tmp_path: Path) -> None:
    brain = Recipe([{"name": "x"}], tmp_path)
    brain.normalise = RunningMean()
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"order of the utterances, got self\.normalise diff"):
            brain.cache_features(range(1, 4), "train")
    brain.normalise = torch.nn.Identity()
    brain.cache_features(range(1, 4), "train")
    stored = brain.feature_readers["train"]["x"]
    assert [float(stored.read(f"u{number}")[0, 0]) for number in range(1, 4)] == [1, 2, 3]
