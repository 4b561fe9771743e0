"""What a recipe writes itself is no part of its fingerprint; what only has the same name is one."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from featbank.recipes.fingerprinting import RecipeFingerprint, fingerprint_recipe

LAYERS = [3, 6]
seen: dict[str, int] = {"n": 0}
num_calls = 0


class Owner:
    count = 0

    def __init__(self, layers: list[int]) -> None:
        self.hparams = SimpleNamespace(layers=layers, stride=len(layers))
        self.modules: dict[str, torch.nn.Module] = {}
        self.ids: list[str] = []


def taken(owner: Owner) -> RecipeFingerprint:
    return fingerprint_recipe(
        owner.compute_features,  # type: ignore[attr-defined]
        owner=owner,
        modules=owner.modules,
        hparams=None,
        feature_configs=[],
    )


class AList(Owner):
    def compute_features(self, batch: Any, stage: str) -> Any:  # noqa: ARG002
        layers = []
        for layer in self.hparams.layers:
            layers.append(batch[layer])  # noqa: PERF401
        return layers


class ANumber(Owner):
    def compute_features(self, batch: Any, stage: str) -> Any:  # noqa: ARG002
        stride = 1
        stride += self.hparams.stride
        return batch[::stride]


class AnAttribute(Owner):
    def compute_features(self, batch: Any, stage: str) -> Any:  # noqa: ARG002
        batch.stride = 0
        batch.stride += 1
        return batch[:: self.hparams.stride]


@pytest.mark.parametrize("kind", [AList, ANumber, AnAttribute])
def test_an_hparam_counts_beside_a_local_of_its_name_that_is_added_to(
    kind: Callable[[list[int]], Owner],
) -> None:
    assert taken(kind([3, 6])).digest != taken(kind([3, 6, 9])).digest


def chosen(batch: Any) -> Any:
    return [batch[layer] for layer in LAYERS]


class AGlobal(Owner):
    def compute_features(self, batch: Any, stage: str) -> Any:  # noqa: ARG002
        LAYERS = chosen(batch)  # noqa: N806
        LAYERS.append(batch)
        return LAYERS


def test_a_global_counts_beside_a_local_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    first = taken(AGlobal([]))
    monkeypatch.setattr("tests.recipes.fingerprinting.test_written.LAYERS", [3, 9])
    assert taken(AGlobal([])).digest != first.digest


class Counts(Owner):
    def compute_features(self, batch: Any, stage: str) -> Any:
        global num_calls
        num_calls += 1
        seen["n"] = seen.get("n", 0) + 1
        Counts.count += 1
        self.ids.append(stage)
        return batch, seen["n"], num_calls, self.count, self.ids


def test_what_counts_the_calls_is_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    first = taken(Counts([]))
    monkeypatch.setitem(seen, "n", 5)
    monkeypatch.setattr("tests.recipes.fingerprinting.test_written.num_calls", 5)
    monkeypatch.setattr(Counts, "count", 5)
    later = Counts([])
    later.ids.append("a")
    assert taken(later) == first
