"""Edits of a recipe on disk, and whether its features follow from them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from featbank.recipes.fingerprinting import difference
from tests.conftest import ROOT
from tests.waiting import HANG_S

HELPER = """
import functools
import math
import torch

FLOOR = 1e-5
UNUSED = 3


def scaled(values, by=2.0):
    return values * by


def energies(frames, power=2):
    return torch.log(scaled(frames ** power).mean(-1) + FLOOR)


def unrelated():
    return UNUSED


@functools.lru_cache
def cached(value):
    return value + 1


@functools.singledispatch
def typed(value):
    return value


@typed.register
def typed_text(value: str):
    return value.upper()


def imported_late(value):
    return value - 4


class Window:
    kind = "hann"

    def __init__(self, size):
        self.size = size

    def cut(self, frames):
        return frames[..., : self.size]

    def never_called(self):
        return 1


class Scale(torch.nn.Module):
    factor = 2.0

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 4)
        torch.nn.init.eye_(self.linear.weight)
        torch.nn.init.zeros_(self.linear.bias)
        self.register_buffer("shift", torch.zeros(4))
        self.note = "a"

    def forward(self, values):
        return self._inner(self.linear(values)) + self.shift

    def _inner(self, values):
        return values * self.factor

    def training_step(self, batch):
        return self(batch).sum()
"""

RECIPE = '''
import functools
import os
import random
from types import SimpleNamespace
import numpy as np
import torch
import helper
from helper import energies as frame_energies
from featbank.recipes import FeatureBrain

OFFSET = [1, 2, {"a": 3}]


def doubled(function):
    @functools.wraps(function)
    def wrapper(self, batch, stage):
        return function(self, batch, stage)
    return wrapper


def rounder(digits):
    def rounded(values):
        return torch.round(values, decimals=digits)
    return rounded


class Base(FeatureBrain):
    def compute_features(self, batch, stage):
        frames = self.prepared(batch)
        return {"id": batch.id, "x": frames}

    SHIFT = 3

    @property
    def factor(self):
        return self._given * 2

    @staticmethod
    def fixed(values):
        return values * 1

    def prepared(self, batch):
        from helper import imported_late

        late = imported_late(helper.cached(helper.typed(self.factor)))
        return self.fixed(batch.sig) + self.SHIFT + late + self.hparams.square(2)

    def compute_forward(self, batch):
        return 7


class Recipe(Base):
    count = 0

    @doubled
    def compute_features(self, batch, stage):
        """Compute them."""
        Recipe.count += len(batch.id)
        if self.count == int(os.environ.get("STOP_AT", -1)):
            raise KeyError(random.random(), np.random.rand(), np.pi)
        returned = super().compute_features(batch, stage)
        # their energies
        frames = helper.Window(3).cut(returned["x"]) + OFFSET[0]
        times = 1
        times += 1  # another one than that of the hparams
        values = self.round(frame_energies(frames) * self.hparams.gain * self.hparams.times)
        values = self.modules["scale"](self.hparams.front(values))
        return {**returned, "x": torch.nn.functional.pad(values, [0, 1])}

    def unrelated(self):
        return 1


def make():
    torch.manual_seed(0)
    hparams = SimpleNamespace(
        gain=2.0, times=2, unused=1, square=lambda value: value * value,
        front=functools.partial(helper.scaled, by=3.0),
        options={"b": {1, 2, 3}, "a": {"x", "y", "z"}},
    )
    brain = Recipe([{"name": "x", "dtype": "float32"}], "unused", modules={"scale": helper.Scale()})
    brain.hparams = hparams
    brain.round = rounder(4)
    brain._given = 5
    brain.unused = 5
    return brain
'''

DRIVER = """
import importlib, json, sys
import torch
from featbank.feature_io import FeatureStorageConfig
from featbank.recipes.fingerprinting import fingerprint_recipe

found = {}
forward = torch.nn.Linear.forward
for folder in sys.argv[1:]:
    sys.path.insert(0, folder)
    for name in ("recipe", "helper"):
        sys.modules.pop(name, None)
    importlib.invalidate_caches()
    brain = importlib.import_module("recipe").make()
    taken = [
        fingerprint_recipe(
            brain.compute_features, owner=brain, modules=brain.modules, hparams=brain.hparams,
            feature_configs=[FeatureStorageConfig("x", "float32")],
        )
        for _ in range(2)
    ]
    assert taken[0] == taken[1]
    found[folder] = dict(taken[0].parts)
    sys.path.remove(folder)
    torch.nn.Linear.forward = forward
print(json.dumps(found))
"""

# what is edited: file, text, its new text, and the parts that differ then
EDITS: dict[str, tuple[str, str, str, set[str]]] = {
    "nothing": ("helper", "by=2.0", "by=2.0", set()),
    "the body of a helper's helper": (
        "helper",
        "values * by",
        "values * by + 1",
        {"source of helper.scaled"},
    ),
    "a constant of the helper": ("helper", "FLOOR = 1e-5", "FLOOR = 1e-6", {"helper.FLOOR"}),
    "a default": ("helper", "power=2", "power=3", {"source of helper.energies"}),
    "a constant of the recipe": ("recipe", '{"a": 3}', '{"a": 4}', {"OFFSET"}),
    "an hparam": ("recipe", "gain=2.0", "gain=2.5", {"hparams.gain"}),
    "an hparam that is an integer": ("recipe", "times=2", "times=3", {"hparams.times"}),
    "the type of an hparam": ("recipe", "gain=2.0", "gain=2", {"hparams.gain"}),
    "an argument of a partial": ("recipe", "by=3.0", "by=4.0", {"hparams.front"}),
    "a weight": (
        "helper",
        "init.eye_(self.linear.weight)",
        "init.ones_(self.linear.weight)",
        set(),
    ),
    "a buffer": ("helper", '"shift", torch.zeros(4)', '"shift", torch.ones(4)', set()),
    "a setting of a module": ("helper", 'self.note = "a"', 'self.note = "b"', set()),
    "a constant of a module's class": ("helper", "factor = 2.0", "factor = 3.0", {"Scale.factor"}),
    "the forward of a module": (
        "helper",
        "+ self.shift",
        "- self.shift",
        {"source of helper.Scale.forward"},
    ),
    "what a forward calls": (
        "helper",
        "values * self.factor",
        "values / self.factor",
        {"source of helper.Scale._inner"},
    ),
    "what a closure holds": ("recipe", "rounder(4)", "rounder(3)", {"digits of rounded"}),
    "a decorator": (
        "recipe",
        "return function(self, batch, stage)",
        "return dict(function(self, batch, stage))",
        {"source of compute_features"},
    ),
    "what a property reads": ("recipe", "_given = 5", "_given = 6", {"self._given"}),
    "a property": ("recipe", "_given * 2", "_given * 4", {"source of Base.factor"}),
    "a static method": ("recipe", "values * 1", "values / 1", {"source of Base.fixed"}),
    "a constant of the class": ("recipe", "SHIFT = 3", "SHIFT = 4", {"self.SHIFT"}),
    "a lambda": ("recipe", "value * value", "value + value", {"source of <lambda>"}),
    "a cached function": ("helper", "value + 1", "value + 2", {"source of helper.cached"}),
    "a function for one type": (
        "helper",
        "value.upper()",
        "value.lower()",
        {"source of helper.typed_text"},
    ),
    "what is imported where it is used": (
        "helper",
        "value - 4",
        "value - 5",
        {"source of helper.imported_late"},
    ),
    "a method of the base": (
        "recipe",
        "return self.fixed(batch.sig)",
        "return self.fixed(-batch.sig)",
        {"source of Base.prepared"},
    ),
    "the method that super means": (
        "recipe",
        "frames = self.prepared(batch)\n        return",
        "frames = self.prepared(batch) + 1\n        return",
        {"source of Base.compute_features"},
    ),
    "a method that is overridden now": (
        "recipe",
        "    def unrelated(self):",
        "    def prepared(self, batch):\n        return -super().prepared(batch)\n\n"
        "    def unrelated(self):",
        {"source of Recipe.prepared"},
    ),
    "a method put in its place": (
        "recipe",
        "    return brain\n",
        "    Base.fixed = staticmethod(helper.imported_late)\n    return brain\n",
        {"source of Base.fixed"},
    ),
    "a method of a class that is made": (
        "helper",
        "return frames[..., : self.size]",
        "return frames[..., 1 : self.size]",
        {"source of helper.Window.cut"},
    ),
    "how an object is made": (
        "helper",
        "self.size = size",
        "self.size = size + 1",
        {"source of helper.Window.__init__"},
    ),
    "a hook": (
        "recipe",
        "    return brain\n",
        '    brain.modules["scale"].register_forward_hook(helper.unrelated)\n    return brain\n',
        {"modules.scale", "source of helper.unrelated", "helper.UNUSED"},
    ),
    "a method put into a class of a package": (
        "recipe",
        "    return brain\n",
        "    torch.nn.Linear.forward = helper.unrelated\n    return brain\n",
        {"Linear.forward", "source of helper.unrelated", "helper.UNUSED"},
    ),
    "how the result is put together": (
        "recipe",
        "[0, 1])}",
        "[1, 0])}",
        {"source of Recipe.compute_features"},
    ),
}
SAME: dict[str, tuple[str, str, str]] = {
    "a comment": ("recipe", "# their energies", "# other words"),
    "a docstring": ("recipe", '"""Compute them."""', '"""Compute the features."""'),
    "formatting": (
        "helper",
        "torch.log(scaled(frames ** power).mean(-1) + FLOOR)",
        "(torch.log(\n        scaled(frames**power).mean(-1)+FLOOR))",
    ),
    "annotations": (
        "helper",
        "def scaled(values, by=2.0):",
        "def scaled(values: int, by: float=2.0):",
    ),
    "another hparam": ("recipe", "unused=1", "unused=2"),
    "an attribute of the recipe that nothing reads": ("recipe", "unused = 5", "unused = 6"),
    "another method": ("recipe", "        return 1\n", "        return 2\n"),
    "the method that trains": ("recipe", "return 7", "return 8"),
    "another function": ("helper", "UNUSED = 3", "UNUSED = 4"),
    "a method that nothing calls": ("helper", "return 1\n", "return 2\n"),
    "a module's method for training": ("helper", ".sum()", ".mean()"),
    "lines before": ("helper", "import math\n", "import math\nimport json\n\nADDED = 1\n"),
    "a counter": ("recipe", "count = 0", "count = 5"),
}


def _edited(where: Path, file: str, old: str, new: str) -> Path:
    texts = {"helper": HELPER, "recipe": RECIPE}
    assert old in texts[file]
    texts[file] = texts[file].replace(old, new)
    where.mkdir()
    for name, text in texts.items():
        (where / f"{name}.py").write_text(text)
    return where


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, str]]:
    """The parts of the fingerprint after each edit: the same in two processes."""
    root = tmp_path_factory.mktemp("edits")
    edits = {name: edit[:3] for name, edit in EDITS.items()} | SAME
    folders = {
        str(_edited(root / str(number), *edit)): name
        for number, (name, edit) in enumerate(edits.items())
    }
    found = [
        subprocess.run(
            [sys.executable, "-c", DRIVER, *order],
            capture_output=True,
            text=True,
            timeout=HANG_S,
            cwd=root,
            env={"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed, "STOP_AT": seed, "PATH": ""},
        )
        for order, seed in (([*folders], "1"), ([*folders][::-1], "2"))
    ]
    for one in found:
        assert one.returncode == 0, one.stderr
    first, second = (json.loads(one.stdout) for one in found)
    assert first == second
    return {folders[folder]: taken for folder, taken in first.items()}


@pytest.mark.parametrize("edit", [name for name in EDITS if name != "nothing"])
def test_an_edit_that_changes_features_changes_the_fingerprint_by_name(
    parts: Mapping[str, Mapping[str, str]], edit: str
) -> None:
    before, now = parts["nothing"], parts[edit]
    changed = {name for name in {*before, *now} if before.get(name) != now.get(name)}
    assert changed == (EDITS[edit][3] or {"modules.scale"}), difference(before, now)


@pytest.mark.parametrize("edit", SAME)
def test_an_edit_that_changes_no_feature_changes_nothing(
    parts: Mapping[str, Mapping[str, str]], edit: str
) -> None:
    assert difference(parts["nothing"], parts[edit]) == []


def test_the_parts_say_what_counts(parts: Mapping[str, Mapping[str, str]]) -> None:
    assert sorted(_without_sources(parts["nothing"])) == [
        "OFFSET",
        "Scale.factor",
        "digits of rounded",
        "feature_configs",
        "helper.FLOOR",
        "helper.cached",
        "hparams.front",
        "hparams.gain",
        "hparams.square",
        "hparams.times",
        "modules.scale",
        "package numpy",
        "package torch",
        "self.SHIFT",
        "self._given",
        "self.round",
    ]


def _without_sources(parts: Mapping[str, str]) -> Iterator[str]:
    return (name for name in parts if not name.startswith("source of "))
