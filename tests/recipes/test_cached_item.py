"""A dynamic item computes each utterance once, whoever asks, and becomes a store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featbank.store import open_store
from tests.waiting import HANG_S

pytestmark = pytest.mark.slow  # only a process of its own imports speechbrain

MODULE = '''
"""Items of a recipe, at the top of a module."""
import os, pathlib, signal
import torch
from speechbrain.utils.data_pipeline import provides, takes
from featbank.recipes.cached_item import CachedPackedDynamicItem

ROOT = pathlib.Path(os.environ["ROOT"])
calls = ROOT / "calls"

def note(utterance_id):
    with open(calls, "a") as file:
        file.write(utterance_id + "\\n")

@CachedPackedDynamicItem.cache(
    ROOT / "ramp" / "train",
    dtype="float16",
    writer_kwargs={"frame_rate": 50.0},
    fingerprint_with={"note": 1, "ROOT": 1},
)
@takes("id", "count")
@provides("ramp")
def ramp(utterance_id, count):
    note(utterance_id)
    if (ROOT / "kill").exists() and utterance_id == "u5":
        os.kill(os.getpid(), signal.SIGKILL)
    assert torch.is_inference_mode_enabled()
    return torch.arange(count, dtype=torch.float32)[:, None] / 3
'''

SCRIPT = """
import functools, json, os, pathlib, sys
import numpy as np, torch
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.dataio.dataloader import SaveableDataLoader
from speechbrain.utils.data_pipeline import provides, takes
from featbank.errors import ConfigError, FeatbankError
from featbank.recipes.cached_item import CachedPackedDynamicItem
import items

ROOT = items.ROOT
ids = [f"u{number}" for number in range(12)]

def dataset(ids=ids, more=0):
    found = DynamicItemDataset({one: {"count": n + 1 + more} for n, one in enumerate(ids)})
    found.add_dynamic_item(items.ramp)
    found.set_output_keys(["id", "ramp"])
    return found

def epoch(dataset, **options):
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=2, collate_fn=lambda rows: rows, **options
    ) if options.get("num_workers") else [[row] for row in dataset]
    return {row["id"]: row["ramp"].clone() for rows in loader for row in rows}

def collate(rows):
    return rows

def told(act, *arguments):
    try:
        return act(*arguments)
    except FeatbankError as error:
        return str(error)

def called():
    return sorted(items.calls.read_text().split()) if items.calls.exists() else []
"""

WORKERS = (
    SCRIPT
    + """
if __name__ == "__main__":
    found = {}
    # three workers, of which one is killed
    (ROOT / "kill").touch()
    try:
        epoch(dataset(), num_workers=3)
    except RuntimeError as error:
        found["killed"] = "exited unexpectedly" in str(error) or "killed" in str(error)
    (ROOT / "kill").unlink()
    before = set(called())
    found["missing"] = told(items.ramp.publish, ids)
    first = epoch(dataset(), num_workers=3)
    found["again"] = sorted(set(one for one in called() if called().count(one) > 1))
    # a journal that is cut short loses its last row alone
    journal = max((ROOT / "ramp").rglob("*.journal"), key=lambda path: path.stat().st_size)
    os.truncate(journal, journal.stat().st_size - 1)
    items.calls.unlink()
    second = epoch(dataset(), num_workers=2)
    found["cut"] = len(called())
    items.calls.unlink()
    third = epoch(dataset())
    loader = torch.utils.data.DataLoader(
        dataset(), collate_fn=collate, num_workers=1, multiprocessing_context="spawn"
    )
    fourth = {row["id"]: row["ramp"].clone() for rows in loader for row in rows}
    filtered = dataset().filtered_sorted(sort_key="count", reverse=True)
    filtered.set_output_keys(["id", "ramp"])
    assert filtered.pipeline.dynamic_items[0] is items.ramp
    items.ramp.publish(ids)
    fifth = epoch(dataset(), num_workers=2)
    found["read"] = called()
    for number, one in enumerate(ids):
        expected = (torch.arange(number + 1)[:, None] / 3).half()
        for values in (first, second, third, fourth, fifth):
            assert torch.equal(values[one], expected), (one, values[one])
            assert values[one].dtype == torch.float16
    found["journals"] = [str(path) for path in (ROOT / "ramp").rglob("*.journal")]
    print(json.dumps(found))
"""
)


@pytest.fixture
def run(tmp_path: Path) -> Any:
    (tmp_path / "items.py").write_text(MODULE)

    def run(script: str) -> Any:
        (tmp_path / "script.py").write_text(script)
        environment = {
            **os.environ,
            "ROOT": str(tmp_path),
            "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]),
        }
        done = subprocess.run(
            [sys.executable, str(tmp_path / "script.py")],
            capture_output=True,
            text=True,
            timeout=HANG_S,
            env=environment,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


def test_workers_that_are_killed_and_a_cut_journal_lose_a_row_at_most(
    run: Any, tmp_path: Path
) -> None:
    found = run(WORKERS)
    assert found["killed"]
    assert "expected 12 utterances, computed, got" in found["missing"]
    assert found["again"] == ["u5"]
    assert found["cut"] == 1
    assert found["read"] == []
    assert found["journals"] == []
    store = open_store(tmp_path / "ramp")
    assert list(store.ids) == sorted(f"u{number}" for number in range(12))
    assert (store.name, store.frame_rate, store.dtype) == ("ramp", 50.0, np.float16)
    assert store.fingerprint


LAWS = (
    SCRIPT
    + """
def item(act, name="x", **options):
    decorated = takes("id", "count")(provides("x")(act))
    return CachedPackedDynamicItem.cache(ROOT / name, **options)(decorated)

def constant(utterance_id, count):
    items.note(utterance_id)
    return torch.full((2, 3), float(count))

def by_chance(utterance_id, count):
    return torch.rand(2, 3)

KNOWN = {"items": 1, "torch": 1}
found = {}
one = item(constant, fingerprint_with=KNOWN)
one("a", 1), one("b", 2), one("a", 1)
found["computed"] = called()
one.publish(["a", "b"])
header = (ROOT / "x" / "header.json").read_bytes()
again = item(constant, fingerprint_with=KNOWN)
again("a", 1)
again.publish(["a", "b"])
found["kept"] = (ROOT / "x" / "header.json").read_bytes() == header
found["read"] = called()
# another input, in a later run: computed, and in the next store; the other row is taken over
assert again("a", 7)[0, 0] == 7
again.publish(["a", "b"])
assert again("a", 7)[0, 0] == 7 and again("b", 2)[0, 0] == 2
found["other input"] = called()
# another function: all is computed, and the store replaced
other = item(constant, fingerprint_with={**KNOWN, "version": 2})
other("a", 7), other("b", 2)
found["other function"] = called()
other.publish(["a", "b", "a"])
found["left"] = sorted(path.name for path in ROOT.iterdir() if path.name.startswith("."))
def times(factor):
    def act(utterance_id, count):
        assert torch.is_inference_mode_enabled()
        return dropout(torch.full((2, 3), float(count * factor)))
    return act

# what a closure holds is of the fingerprint, and a module that only a global holds does not train
dropout = torch.nn.Dropout(0.5)
for factor in (2, 3):
    assert (item(times(factor), "closure")("a", 1) == factor).all()
assert dropout.training
# so is what a module, a partial function and another object hold
class Adding:
    def __init__(self, number):
        self.number = number
    def __call__(self, utterance_id, count):
        return torch.full((2, 3), float(count + self.number))

class Scaling(torch.nn.Module):
    def __init__(self, number):
        super().__init__()
        self.register_buffer("number", torch.tensor(float(number)))
    def forward(self, utterance_id, count):
        return torch.full((2, 3), float(count)) * self.number

def partly(number, utterance_id, count):
    return torch.full((2, 3), float(count - number))

for kind in (Adding, Scaling, lambda number: functools.partial(partly, number)):
    digests = {
        CachedPackedDynamicItem(
            ROOT / "kinds", takes=["id", "count"], func=kind(number), provides=["x"]
        ).fingerprint.digest
        for number in (1, 2, 1)
    }
    assert len(digests) == 2, kind
vector = item(lambda utterance_id, count: torch.arange(3.0), "vector",
              writer_kwargs={"time_axis": None}, fingerprint_with=KNOWN)
assert vector("a", 1).tolist() == vector("a", 1).tolist() == [0, 1, 2]
vector.publish(["a"])
assert vector("a", 1).tolist() == [0, 1, 2]
scaled = item(constant, "scaled", dtype="int8_scaled", fingerprint_with=KNOWN)
first = scaled("a", 5)
assert torch.equal(scaled("a", 5), first)
scaled.publish(["a"])
assert torch.equal(scaled("a", 5), first) and first.dtype == torch.float32
codes = item(constant, "codes", dtype="int16", writer_kwargs={"time_axis": -1},
             fingerprint_with=KNOWN)
codes.func = lambda utterance_id, count: np.arange(6).reshape(2, 3)
assert codes("a", 5).tolist() == [[0, 1, 2], [3, 4, 5]] == codes("a", 5).tolist()
codes.publish(["a"])
assert codes("a", 5).tolist() == [[0, 1, 2], [3, 4, 5]]

# two processes that compute the same utterance at once, and differently
chance = item(by_chance, "chance", fingerprint_with=KNOWN)
twin = item(by_chance, "chance", fingerprint_with=KNOWN)
chance.rows.add("a", b"0" * 16, torch.zeros(2, 3))
twin.rows.add("a", b"0" * 16, torch.ones(2, 3))
found["chance"] = told(chance.publish, ["a"])
found["empty"] = told(chance.publish, [])
found["object"] = told(one, "a", object())
stands_for = item(constant, "named", digest=lambda utterance_id, count: "x",
                  fingerprint_with=KNOWN)
assert stands_for("a", 1)[0, 0] == 1 == stands_for("a", 2)[0, 0]
unknown = item(constant, "k", writer_kwargs={"fps": 5}, fingerprint_with=KNOWN)
found["kwargs"] = told(unknown, "a", 1)

def steps(utterance_id):
    yield 1

def declared(act, first, *provided):
    return told(CachedPackedDynamicItem.cache(ROOT), takes(first)(provides(*provided)(act)))

found["id first"] = declared(constant, "x", "y")
found["two"] = declared(constant, "id", "y", "z")
found["generator"] = declared(steps, "id", "y")
print(json.dumps(found))
"""
)


def test_another_input_or_function_is_computed_anew_and_chance_is_refused(
    run: Any, tmp_path: Path
) -> None:
    found = run(LAWS)
    assert found["computed"] == found["read"] == ["a", "b"]
    assert found["kept"]
    assert found["other input"] == ["a", "a", "b"]
    assert found["other function"] == ["a", "a", "a", "b", "b"]
    assert found["left"] == []
    assert "'a' of x: expected the same values from the same input" in found["chance"]
    assert "expected one or more utterances" in found["empty"]
    assert "give digest=" in found["object"]
    assert "got fps" in found["kwargs"]
    assert "id first" in found["id first"]
    assert "provides: one key" in found["two"]
    assert "a function under @takes and @provides" in found["generator"]
    assert sorted(open_store(tmp_path / "x").ids) == ["a", "b"]
