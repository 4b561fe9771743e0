"""A writer that could not write a row publishes nothing, even if there is room again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from featbank.errors import StoreError
from featbank.store import StoreWriter, open_store
from tests.store.trust import run

# Catches the error of every write, makes room again, and goes on to the end of the `with` block.
GOES_ON = """
import resource, signal, sys
import numpy as np
from featbank.errors import StoreError
from featbank.feature_io import NumpyHdf5Writer
from featbank.store import StoreWriter

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path, kind, step = sys.argv[1], sys.argv[2], int(sys.argv[3])
errors = []

def allow(num_bytes):
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, -1))

def writer():
    if kind == "hdf5":
        return NumpyHdf5Writer(path, name="x")
    return StoreWriter(path, name="x", shard_bytes=1 << 20)

try:
    with writer() as writer:
        for number in range(300)[::step]:
            if number == 150:
                allow(100_000)
            if number == 150 + 90 * step:
                allow(-1)
            try:
                writer.write(f"{number:03d}", np.full((500, 10), number, np.float32))
            except StoreError as error:
                errors.append(str(error))
except StoreError as error:
    print(len(errors) > 1)
    print("expected a disk with room that works" in errors[0])
    print(all("got one that has failed; " in one for one in [*errors[1:], str(error)]))
"""


@pytest.mark.parametrize(
    ("kind", "step"), [("store", 1), ("store", -1), ("hdf5", 1)], ids=["sorted", "spooled", "hdf5"]
)
def test_a_writer_that_failed_takes_and_publishes_nothing_more(
    tmp_path: Path, kind: str, step: int
) -> None:
    assert run(GOES_ON, tmp_path / "s", kind, step).split() == ["True"] * 3
    assert list(tmp_path.iterdir()) == []


# A thread can't write a shard; the next call is none that would write. Room again, and on it goes.
TOLD_LATE = """
import resource, signal, sys, threading
import numpy as np
from featbank.base.failures import Failure
from featbank.errors import StoreError
from featbank.store import StoreWriter, shard_file, sorted_run

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
shard_file.LARGE_BYTES = sorted_run.LARGE_BYTES = 0
path, call = sys.argv[1:]
values = np.ones((4, 10_000), np.float32)

def outcome(function, *arguments):
    try:
        function(*arguments)
    except StoreError as error:
        return str(error)

with StoreWriter(path, name="x", shard_bytes=1 << 20) as writer:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, -1))
    number = 0
    while not any("write shards" in thread.name for thread in threading.enumerate()):
        number += 1
        writer.write(f"u{number:03d}", values)
    calls = {
        "an id that is late": (writer.write, "a", values),
        "a failure": (writer.fail, Failure(id="z", audio="z.wav", error="cut off")),
    }
    told = outcome(*calls[call])
    resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
    print("expected a disk with room that works" in told)
    for then in ((writer.write, "v", values), (writer.prepare,)):
        print("got one that has failed; " in outcome(*then))
    writer.abort()
"""


@pytest.mark.parametrize("call", ["an id that is late", "a failure"])
def test_what_went_wrong_on_a_thread_fails_whatever_is_called_next(
    tmp_path: Path, call: str
) -> None:
    assert run(TOLD_LATE, tmp_path / "s", call).split() == ["True"] * 3
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_refused_a_row_goes_on(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s", name="x") as writer:
        writer.write("a", np.ones((2, 3)))
        for key, value in (("a", np.ones((2, 3))), ("b", np.ones((2, 4))), ("/", np.ones((2, 3)))):
            with pytest.raises(StoreError):
                writer.write(key, value)
        writer.write("b", np.ones((2, 3)))
    assert list(open_store(tmp_path / "s").ids) == ["a", "b"]
