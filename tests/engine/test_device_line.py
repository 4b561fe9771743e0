"""The line of a device worker: whatever happens in it, each utterance gets what it gets alone."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from featbank.base.failures import Failure, read_failures
from featbank.base.manifest import Utterance
from featbank.engine.device.lane import GpuLane, HostLane
from featbank.engine.device.memory import NUM_INPUTS, NUM_OUTPUTS
from featbank.engine.reading import AudioReader
from featbank.errors import FeatbankError
from featbank.numerics import Computing, thread_count
from featbank.store import MappedShard, ShardWriter
from tests.device_stub import GREAT, INFINITE, NAN, REFUSED
from tests.extracting import prepare_corpus, run_extraction

pytestmark = pytest.mark.usefixtures("one_thread")

ALONE, TOGETHER = Computing(), Computing(batch_s=8, num_decoders=3)
STUB = {"_target_": "tests.device_stub.ExactStub"}
BY_HAND = {"_target_": "tests.device_stub.ByHandStub"}
STORAGE = [
    {"name": "one", "dtype": "float16", "shard_bytes": 30_000},
    {"name": "two", "dtype": "int8_scaled", "shard_bytes": 30_000},
    {"name": "codes", "dtype": "uint16", "shard_bytes": 30_000},
]
LENGTHS = [400, 401, 5_000, 16_383, 16_384, 16_385, 20_000, 24_000, 30_000, 40_000, 70_000]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is pinned memory to have")
def test_a_machine_without_pinned_memory_is_told_in_one_line() -> None:
    lane = object.__new__(GpuLane)
    with pytest.raises(FeatbankError, match="1,024 bytes more, pinned"):
        lane.memory(1024)


class Behind(HostLane):
    """A lane as a GPU has it: batches are reduced whole, and what comes back is copied."""

    is_behind = True

    def fetch(self, tensors: Sequence[torch.Tensor], memory: Any) -> Any:
        from featbank.engine.device.lane import _laid_out

        found = _laid_out(tensors, memory)
        done = threading.Event()

        def wait() -> None:
            if not done.is_set():  # as late as can be: what is in the memory before is of others
                for there, here in zip(tensors, found, strict=True):
                    here.copy_(there)
                done.set()

        return found, wait


@pytest.fixture
def behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the worker take the CPU for a device that is behind."""
    monkeypatch.setattr("featbank.engine.worker.lane_to", lambda _: Behind())


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Utterances of lengths that meet in few shapes."""
    root = tmp_path_factory.mktemp("noise") / "corpus"
    root.mkdir()
    chance = np.random.default_rng(0)
    paths = {}
    for number in range(44):
        paths[f"{number:02}.wav"] = chance.uniform(-0.9, 0.9, LENGTHS[number % len(LENGTHS)])
    _write(root, paths)
    return root


def _write(root: Path, waveforms: Mapping[str, np.ndarray]) -> None:
    for name, waveform in waveforms.items():
        soundfile.write(root / name, waveform.astype(np.float32), 16000, subtype="FLOAT")
    with open(root / "transcripts.tsv", "w", encoding="utf-8") as table:
        table.write("audio\tspeaker\tlanguage\tsplit\ttext\n")
        table.writelines(
            f"{path.name}\tone\tfr\ttrain\tbruit\n" for path in sorted(root.glob("*.wav"))
        )
    prepare_corpus(root)


def _extract(root: Path, out: Path, **changes: Any) -> dict[str, Any]:
    settings = {
        "extractor": STUB, "storage": STORAGE, "trusted_modules": ["tests"], "num_workers": None,
        "computing": TOGETHER, "work": out.parent / f"{out.name}-work", **changes,
    }  # fmt: skip
    run_extraction(root, out, **settings)
    return _stored(out)


def _stored(out: Path) -> dict[str, Any]:
    """All that a store holds of each row, by feature and id."""
    found = {}
    for path in sorted(out.rglob("*.h5")):
        shard = MappedShard(path)
        for row in range(len(shard)):
            scale = shard.scale(row)
            found[f"{path.relative_to(out).parts[0]}/{shard.id(row)}"] = (
                shard.stored(row).tobytes(), scale is not None and scale.tobytes(),
                shard.rounding_error(row), shard.checksum(row), shard.input_digest(row),
            )  # fmt: skip
    return found


def _failures(out: Path) -> list[Failure]:
    [listed] = out.rglob("one/train/failures.jsonl")
    return list(read_failures(listed))


@pytest.fixture(scope="module")
def alone(noise: Path) -> dict[str, Any]:
    """What is stored of each utterance computed alone, encoded on the host."""
    with thread_count(1):
        return _extract(noise, noise.parent / "alone", computing=ALONE)


@pytest.mark.parametrize("extractor", [STUB, BY_HAND], ids=["batches", "by hand"])
@pytest.mark.parametrize("batch_s", [2, 30])
def test_batches_store_what_each_utterance_alone_does(
    extractor: dict[str, Any], batch_s: float, noise: Path, alone: dict[str, Any], tmp_path: Path
) -> None:
    computing = Computing(batch_s=batch_s, num_decoders=2)
    assert _extract(noise, tmp_path / "out", extractor=extractor, computing=computing) == alone


def test_several_decoders_of_a_cpu_change_no_byte(
    noise: Path, alone: dict[str, Any], tmp_path: Path
) -> None:
    assert _extract(noise, tmp_path / "out", computing=Computing(num_decoders=3)) == alone


@pytest.mark.usefixtures("behind")
def test_a_device_that_is_behind_stores_what_each_utterance_alone_does(
    noise: Path, alone: dict[str, Any], tmp_path: Path
) -> None:
    assert _extract(noise, tmp_path / "out") == alone


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("lane", ["behind", "one_thread"])
def test_other_dtypes_are_stored_as_alone_too(
    dtype: str, lane: str, noise: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(lane)
    storage = [{**entry, "dtype": dtype} for entry in STORAGE[:2]] + STORAGE[2:]
    expected = _extract(noise, tmp_path / "alone", computing=ALONE, storage=storage)
    assert _extract(noise, tmp_path / "out", storage=storage) == expected


@pytest.mark.parametrize("lane", ["behind", "one_thread"])
def test_long_recordings_go_in_pieces_between_the_batches(
    lane: str, noise: Path, alone: dict[str, Any], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(lane)
    assert _extract(noise, tmp_path / "out", extractor={**STUB, "max_s": 2.0}) == alone


@pytest.fixture
def troubled(noise: Path, tmp_path: Path) -> Path:
    """A corpus in which every kind of failure stands in the midst of sound utterances."""
    root = Path(shutil.copytree(noise, tmp_path / "corpus"))
    shutil.copy(root / "09.wav", root / "long.wav")
    loud = {REFUSED: ["04", "16"], NAN: ["05"], INFINITE: ["18"], GREAT: ["07", "31"]}
    for first, names in loud.items():
        for name in names:
            waveform, _ = soundfile.read(root / f"{name}.wav", dtype="float32")
            waveform[0] = first
            soundfile.write(root / f"{name}.wav", waveform, 16000, subtype="FLOAT")
    prepare_corpus(root)
    (root / "08.wav").unlink()
    (root / "20.wav").write_bytes((root / "20.wav").read_bytes()[:3_000])
    shutil.copy(root / "10.wav", root / "21.wav")  # another file than the manifest's
    return root


@pytest.mark.parametrize("lane", ["behind", "one_thread"])
@pytest.mark.parametrize("limits", [{}, {"max_s": 1.5}], ids=["whole", "in pieces"])
def test_each_kind_of_failure_is_that_of_the_utterance_alone_and_changes_no_mate(
    lane: str,
    limits: dict[str, float],
    troubled: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    request.getfixturevalue(lane)
    settings = {"extractor": {**STUB, **limits}, "max_failures": 0.5}
    expected = _extract(troubled, tmp_path / "alone", computing=ALONE, **settings)
    found = _extract(troubled, tmp_path / "out", **settings)
    assert found == expected
    failures = _failures(tmp_path / "out")
    assert failures == _failures(tmp_path / "alone")
    assert len(failures) == 9
    assert {failure.kind for failure in failures} >= {"bad_features", "missing", "truncated"}


def test_extractors_of_other_packages_fail_utterances_alike(troubled: Path, tmp_path: Path) -> None:
    settings = {"extractor": BY_HAND, "max_failures": 0.5}
    expected = _extract(troubled, tmp_path / "alone", computing=ALONE, **settings)
    assert _extract(troubled, tmp_path / "out", **settings) == expected
    assert _failures(tmp_path / "out") == _failures(tmp_path / "alone")


class GoneError(Exception):
    """A fault of the machine."""


def _gone(*_: Any, **__: Any) -> Any:
    raise GoneError


def _threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (AudioReader, "read"),
        (ShardWriter, "write"),
        (ShardWriter, "close"),
        (ShardWriter, "__init__"),
        ("featbank.engine.device.reduction.FeatureReduction", "reduce"),
        ("featbank.engine.device.reduction.FeatureReduction", "row"),
        ("tests.device_stub.ExactStub", "compute_batch"),
        ("tests.device_stub.ExactStub", "compute_pieces"),
    ],
)
@pytest.mark.parametrize("lane", ["behind", "one_thread"])
def test_an_error_anywhere_ends_the_run_and_every_thread(
    place: Any,
    name: str,
    lane: str,
    noise: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    request.getfixturevalue(lane)
    before = _threads()
    target = (
        f"{place}.{name}"
        if isinstance(place, str)
        else f"{place.__module__}.{place.__name__}.{name}"
    )
    monkeypatch.setattr(target, _gone)
    with pytest.raises(GoneError):
        _extract(noise, tmp_path / "out", extractor={**STUB, "max_s": 3.0})
    assert _threads() == before
    assert not list(tmp_path.rglob("*.partial*"))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("memory", r"memory of the GPU for \d+ x \d+ samples: .*lower batch_s"),
        ("frames", r"feature 'one' of a batch of 7 x 16384 samples: expected 7 x 50 x 12, or more"),
    ],
)
def test_a_fault_of_the_device_or_the_extractor_is_no_utterance_s(
    how: str, said: str, noise: Path, tmp_path: Path
) -> None:
    broken = {"_target_": "tests.device_stub.BrokenStub", "how": how}
    with pytest.raises(FeatbankError, match=said):
        _extract(noise, tmp_path / "out", extractor=broken, max_failures=1.0)


@pytest.mark.usefixtures("behind")
def test_memory_of_the_host_is_that_of_some_batches_however_many_there_are(
    noise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int] = []

    class Counted(Behind):
        def memory(self, num_bytes: int) -> torch.Tensor:
            given.append(num_bytes)
            return super().memory(num_bytes)

    monkeypatch.setattr("featbank.engine.worker.lane_to", lambda _: Counted())
    # of one shape, so that no memory grows
    root = Path(shutil.copytree(noise, tmp_path / "corpus"))
    for path in root.glob("*.wav"):
        waveform, _ = soundfile.read(path)
        soundfile.write(path, np.resize(waveform, 16_000), 16_000, subtype="FLOAT")
    prepare_corpus(root)
    one_shard = [{**entry, "shard_bytes": 1 << 20} for entry in STORAGE]
    _extract(root, tmp_path / "out", computing=Computing(batch_s=2.1), storage=one_shard)
    assert 0 < len(given) <= NUM_INPUTS + NUM_OUTPUTS  # of 22 batches
    assert max(given) < 2 * 16_384 * 4 + 1_000


@pytest.mark.parametrize("place", ["compute_batch", "compute_pieces"])
def test_ctrl_c_ends_every_thread(
    place: str, noise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the main thread is; while it waits, it is in a lock that Ctrl-C leaves."""
    before = _threads()

    def press(*_: Any, **__: Any) -> Any:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(f"tests.device_stub.ExactStub.{place}", press)
    with pytest.raises(KeyboardInterrupt):
        _extract(noise, tmp_path / "out", extractor={**STUB, "max_s": 3.0})
    assert _threads() == before


def test_ctrl_c_ends_a_worker_that_waits_for_audio(
    noise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, pressed = _threads(), threading.Event()
    read = AudioReader.read

    def press(reader: AudioReader, row: Utterance, room: Any) -> Any:
        if not pressed.is_set():
            pressed.set()
            os.kill(os.getpid(), signal.SIGINT)
        return read(reader, row, room)

    monkeypatch.setattr(AudioReader, "read", press)
    with pytest.raises(KeyboardInterrupt):
        _extract(noise, tmp_path / "out")
    assert _threads() == before
