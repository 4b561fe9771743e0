"""What a recipe reads under another name of its own counts as what it is, and as nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from featbank.errors import ConfigError
from featbank.recipes.fingerprinting import RecipeFingerprint, fingerprint_recipe

# as a recipe's script holds what it has read of its YAML; an iterator has no digest
hparams: dict[str, Any] = {"gain": 1.0, "counter": iter([1])}
table = {"it's": torch.Generator()}


class Owner:
    GAIN = 1.0

    def __init__(self, gain: float, other: int) -> None:
        self.hparams = SimpleNamespace(gain=gain, other=other, counter=iter([1]))
        self.modules: dict[str, torch.nn.Module] = {}
        self.hp = self.hparams


class InAFunctionAbove(Owner):
    def compute_features(self, batch: Any, stage: str) -> Any:  # noqa: ARG002
        def scaled(values: Any) -> Any:
            return values * hp.gain

        hp = self.hparams
        return scaled(batch)


class OfAnAttribute(Owner):
    def compute_features(self, batch: Any, stage: str) -> Any:  # noqa: ARG002
        return batch * self.hp.gain


class OfAnAttributeInALocal(Owner):
    def compute_features(self, batch: Any, stage: str) -> Any:  # noqa: ARG002
        settings = self.hp
        return batch * settings.gain


class AskedFor(Owner):
    def compute_features(self, batch: Any, stage: str) -> Any:  # noqa: ARG002
        settings = getattr(self, "hparams")  # noqa: B009
        return batch * settings.gain


def taken(owner: Owner) -> RecipeFingerprint:
    return fingerprint_recipe(
        owner.compute_features,  # type: ignore[attr-defined]
        owner=owner,
        modules=owner.modules,
        hparams=None,
        feature_configs=[],
    )


@pytest.mark.parametrize("kind", [InAFunctionAbove, OfAnAttribute, OfAnAttributeInALocal, AskedFor])
def test_an_alias_of_hparams_counts_by_what_is_read_of_it(
    kind: Callable[[float, int], Owner],
) -> None:
    first = taken(kind(1.0, 1))
    assert "hparams.gain" in first.parts
    assert taken(kind(1.0, 2)) == first
    assert taken(kind(2.0, 1)).digest != first.digest


class OfItsClass(Owner):
    def compute_features(self, batch: Any, stage: str) -> Any:  # noqa: ARG002
        return batch * __class__.GAIN  # type: ignore[name-defined]


def test_a_constant_by_the_cell_of_the_class_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    first = taken(OfItsClass(1.0, 1))
    monkeypatch.setattr(Owner, "GAIN", 2.0)
    assert taken(OfItsClass(1.0, 1)).digest != first.digest


class OfTheScript(Owner):
    def compute_features(self, batch: Any, stage: str) -> Any:  # noqa: ARG002
        if "missing" in hparams or hparams.get("absent") or "gain" not in hparams:
            return batch
        return batch * hparams.get("gain", 1.0)


def test_an_entry_that_get_takes_of_a_global_counts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    first = taken(OfTheScript(1.0, 1))
    monkeypatch.setitem(hparams, "other", 2)
    assert taken(OfTheScript(1.0, 1)) == first
    monkeypatch.setitem(hparams, "gain", 2.0)
    second = taken(OfTheScript(1.0, 1))
    monkeypatch.setitem(hparams, "absent", 1)
    assert len({first.digest, second.digest, taken(OfTheScript(1.0, 1)).digest}) == 3


class OfTorch(Owner):
    def compute_features(self, batch: Any, stage: str) -> Any:
        if stage == "never":
            import raises_when_imported  # type: ignore[import-not-found]  # noqa: F401
        return batch.to(getattr(torch, self.hparams.gain))


def test_what_a_package_has_under_a_name_of_hparams_counts_by_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "raises_when_imported.py").write_text("raise RuntimeError('no such device')")
    monkeypatch.syspath_prepend(tmp_path)
    first = taken(OfTorch("float32", 1))  # type: ignore[arg-type]
    assert taken(OfTorch("float64", 1)).digest != first.digest  # type: ignore[arg-type]


class Quoted(Owner):
    def compute_features(self, batch: Any, stage: str) -> Any:  # noqa: ARG002
        return table["it's"], batch


def test_a_hint_can_be_typed_whatever_is_in_a_name() -> None:
    with pytest.raises(ConfigError) as caught:
        taken(Quoted(1.0, 1))
    typed = str(caught.value).partition("fingerprint_with=")[2].partition(", and change")[0]
    owner = Quoted(1.0, 1)
    assert fingerprint_recipe(
        owner.compute_features,
        owner=owner,
        modules={},
        hparams=None,
        feature_configs=[],
        fingerprint_with=eval(typed),  # noqa: S307
    ).named == ('table["it\'s"]',)
