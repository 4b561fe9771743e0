"""What has no digest is refused by a name, and that name in `fingerprint_with` stands for it."""

from __future__ import annotations

import functools
import importlib
import io
import random
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from featbank.errors import ConfigError
from featbank.recipes.fingerprinting import RecipeFingerprint, fingerprint_recipe


class Owner:
    """What `self` is: no more than a place for hparams, modules and attributes."""

    def __init__(self, **hparams: Any) -> None:
        self.hparams = SimpleNamespace(**hparams)
        self.modules: dict[str, torch.nn.Module] = {}
        self.device = "cpu"


def taken(
    owner: Owner, compute: Callable[..., Any] | None = None, **named: Any
) -> RecipeFingerprint:
    return fingerprint_recipe(
        owner.compute_features if compute is None else compute,  # type: ignore[attr-defined]
        owner=owner,
        modules=owner.modules,
        hparams=owner.hparams,
        feature_configs=[],
        fingerprint_with=named.pop("fingerprint_with", None) or None,
    )


def helper(value: Any) -> Any:
    return value


class WholeSelf(Owner):
    def compute_features(self, batch: Any, stage: str) -> Any:  # noqa: ARG002
        return helper(self)


class WholeHparams(Owner):
    def compute_features(self, batch: Any, stage: str) -> Any:  # noqa: ARG002
        return helper(self.hparams)


class DynamicName(Owner):
    def compute_features(self, batch: Any, stage: str) -> Any:
        return getattr(self.hparams, stage)(batch)


class DynamicItem(Owner):
    def compute_features(self, batch: Any, stage: str) -> Any:
        settings = self.hparams
        return settings[stage], batch


class Evaluated(Owner):
    def compute_features(self, batch: Any, stage: str) -> Any:
        return eval(stage), batch  # noqa: S307


class UsesRng(Owner):
    def compute_features(self, batch: Any, stage: str) -> Any:
        return self.hparams.rng, batch, stage


def without_source() -> Owner:
    scope: dict[str, Any] = {"Owner": Owner}
    exec("class Typed(Owner):\n  def compute_features(self, batch, stage): return 1", scope)  # noqa: S102
    typed: Owner = scope["Typed"](rng=1)
    return typed


def lazy() -> Owner:
    return UsesRng(rng=torch.nn.LazyLinear(3))


REFUSED: dict[str, tuple[Callable[[], Owner], str, str]] = {
    "self handed on whole": (lambda: WholeSelf(), "self", "helper(self)"),
    "hparams handed on whole": (lambda: WholeHparams(), "hparams", "self.hparams"),
    "a dynamic name": (lambda: DynamicName(), "hparams", "getattr(self.hparams, stage)"),
    "a dynamic item": (lambda: DynamicItem(), "hparams", "settings[stage]"),
    "eval": (lambda: Evaluated(), "eval() of compute_features", "names that are not written"),
    "no source": (without_source, "source of compute_features", "there is no source"),
    "a torch generator": (lambda: UsesRng(rng=torch.Generator()), "hparams.rng", "changes by use"),
    "numpy's": (lambda: UsesRng(rng=np.random.default_rng(0)), "hparams.rng", "changes by use"),
    "Python's": (lambda: UsesRng(rng=random.Random(0)), "hparams.rng", "changes by use"),
    "a generator": (lambda: UsesRng(rng=(one for one in "ab")), "hparams.rng", "looked into"),
    "an iterator": (lambda: UsesRng(rng=iter([1])), "hparams.rng", "used up"),
    "an open file": (lambda: UsesRng(rng=io.StringIO()), "hparams.rng", "open file"),
    "a Python module": (lambda: UsesRng(rng=sys.modules[__name__]), "hparams.rng", "whole"),
    "weights yet to be drawn": (lazy, "hparams.rng.weight", "before its first forward"),
    "deep inside": (
        lambda: UsesRng(
            rng=[{"a": functools.partial(helper, SimpleNamespace(r=torch.Generator()))}]
        ),
        "hparams.rng.a.r",
        "changes by use",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_digest_is_refused_until_it_is_named(case: str) -> None:
    make, name, why = REFUSED[case]
    owner = make()
    with pytest.raises(ConfigError) as caught:
        taken(owner)
    assert why in str(caught.value)
    names = {name} | ({"hparams.rng.bias"} if case == "weights yet to be drawn" else set())
    entries = ", ".join(f'"{one}": "1"' for one in sorted(names))
    assert f"fingerprint_with={{{entries}}}" in str(caught.value)
    first = taken(owner, fingerprint_with=dict.fromkeys(names, "1"))
    assert first.named == tuple(sorted(names))
    assert taken(owner, fingerprint_with=dict.fromkeys(names, "1")) == first
    assert taken(owner, fingerprint_with={one: {"v": 2} for one in names}).digest != first.digest


def test_a_file_edited_after_its_import_is_refused_until_the_process_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "edited_recipe.py"
    file.write_text("import math\n\ndef compute(batch, stage):\n    return batch * 2\n")
    module = importlib.import_module("edited_recipe")
    before = taken(Owner(), module.compute)
    # elsewhere in the file: still what runs
    file.write_text("# new\nimport math\n\n\ndef compute(batch, stage):\n    return batch * 2\n")
    assert taken(Owner(), module.compute) == before
    file.write_text("import math\n\ndef compute(batch, stage):\n    return batch * 3\n")
    with pytest.raises(ConfigError, match="restart the process"):
        taken(Owner(), module.compute)
    monkeypatch.delitem(sys.modules, "edited_recipe")
    assert taken(Owner(), importlib.import_module("edited_recipe").compute).digest != before.digest


def test_what_computes_may_be_a_partial_or_an_object() -> None:
    def compute(gain: float, batch: Any, stage: str) -> Any:
        return gain, batch, stage

    class Computing:
        def __init__(self, gain: float) -> None:
            self.gain = gain

        def __call__(self, batch: Any, stage: str) -> Any:
            return self.gain, batch, stage

    for make, source in (
        (functools.partial(functools.partial, compute), "compute"),
        (Computing, "__call__"),
    ):
        digests = [taken(Owner(), make(gain)) for gain in (1.0, 1.0, 2.0)]
        assert digests[0] == digests[1] != digests[2]
        assert f"source of {source}" in digests[0].parts


def test_lambdas_of_one_line_are_told_apart() -> None:
    first, second = lambda batch, stage: (batch, stage), lambda batch, stage: (stage, batch)
    again, _ = lambda batch, stage: (batch, stage), None
    digests = [taken(Owner(), one).parts["source of <lambda>"] for one in (first, second, again)]
    assert digests[0] == digests[2] != digests[1]


class Reads(Owner):
    def compute_features(self, batch: Any, stage: str) -> Any:
        return self.hparams.value, self.device, batch, stage


def _digest_of(value: Any) -> str:
    return taken(Reads(value=value)).digest


class Colour:
    def __init__(self, **held: Any) -> None:
        self.__dict__ |= held


EQUAL: Mapping[str, tuple[Any, Any]] = {
    "order of a dict": ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    "order of a set": ({"x", "y", "zz"}, {"zz", "y", "x"}),
    "device": (Colour(device="cpu"), Colour(device="cuda:0")),
    "where a model came from": (Colour(_name_or_path="/a"), Colour(_name_or_path="/b")),
    "device objects": (torch.device("cpu"), torch.device("cuda", 1)),
    "strides": (torch.arange(6.0).reshape(2, 3).T, torch.arange(6.0).reshape(2, 3).T.contiguous()),
    "requires_grad": (torch.ones(2), torch.ones(2, requires_grad=True)),
    "a lock": (threading.Lock(), threading.Lock()),
    "training": (torch.nn.Dropout(0.5), torch.nn.Dropout(0.5).eval()),
    "data parallel": (torch.nn.Dropout(0.5), torch.nn.DataParallel(torch.nn.Dropout(0.5))),
    "compiled": (torch.nn.Dropout(0.5), torch.compile(torch.nn.Dropout(0.5))),
}
DIFFERENT: Mapping[str, tuple[Any, Any]] = {
    "types of numbers": (1, 1.0),
    "bool and int": (True, 1),
    "zeros": (0.0, -0.0),
    "order of a list": ([1, 2], [2, 1]),
    "lists and tuples": ([1], (1,)),
    "text and bytes": ("a", b"a"),
    "dtypes": (torch.zeros(2), torch.zeros(2, dtype=torch.float64)),
    "shapes": (torch.zeros(2, 3), torch.zeros(3, 2)),
    "a value of a tensor": (torch.zeros(2, dtype=torch.bfloat16), torch.ones(2).bfloat16()),
    "arrays": (np.zeros(2), np.ones(2)),
    "scalars of numpy": (np.float32(1), np.float64(1)),
    "an attribute": (Colour(a=1), Colour(a=2)),
    "a private attribute": (Colour(_a=1), Colour(_a=2)),
    "an argument of a partial": (functools.partial(helper, 1), functools.partial(helper, 2)),
    "a probability": (torch.nn.Dropout(0.5), torch.nn.Dropout(0.4)),
    "a function": (torch.relu, torch.sigmoid),
    "paths": (Path("a"), Path("b")),
    "cycles": ([1, [2]], [1, [3]]),
}


@pytest.mark.parametrize("case", EQUAL)
def test_what_means_the_same_has_one_digest(case: str) -> None:
    one, other = EQUAL[case]
    assert _digest_of(one) == _digest_of(other)


@pytest.mark.parametrize("case", DIFFERENT)
def test_what_means_something_else_has_another_digest(case: str) -> None:
    one, other = DIFFERENT[case]
    assert _digest_of(one) != _digest_of(other)


def test_what_refers_to_itself_has_a_digest() -> None:
    def ring(number: int) -> list[Any]:
        found: list[Any] = [number]
        found.append({"back": found})
        return found

    assert _digest_of(ring(1)) == _digest_of(ring(1)) != _digest_of(ring(2))


def test_parametrizations_and_hooks_count() -> None:
    def linear() -> torch.nn.Linear:
        torch.manual_seed(0)
        return torch.nn.Linear(2, 2)

    normed = torch.nn.utils.parametrizations.weight_norm(linear())
    hooked = linear()
    hooked.register_forward_hook(lambda _module, _inputs, output: output + 1)
    digests = {_digest_of(one) for one in (linear(), normed, hooked)}
    assert len(digests) == 3
    assert _digest_of(linear()) in digests
    with torch.no_grad():
        normed.parametrizations.weight.original1.add_(1)
    assert _digest_of(normed) not in digests


def test_a_header_gets_no_value_in_words() -> None:
    parts = taken(Reads(value="/home/someone/secret")).parts
    assert all(
        len(part) == 32 and int(part, 16) >= 0
        for name, part in parts.items()
        if not name.startswith("package ")
    )
