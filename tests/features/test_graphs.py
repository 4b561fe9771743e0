"""CUDA graphs: what is recorded when, and what goes in and out; a recorder of its own stands in."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch

from featbank.features.graphs import CapturedGraph, CudaCapture, Graphs, Outputs


class Replayed:
    """Computes again at each replay, into the same memory, as a graph does."""

    def __init__(self, compute: Callable[[], Outputs]) -> None:
        self._compute = compute
        self.outputs = compute()
        for values in self.outputs.values():
            values.fill_(torch.nan)  # recording computes nothing

    def replay(self) -> None:
        for name, values in self._compute().items():
            self.outputs[name].copy_(values)


class Recorder:
    def __init__(self) -> None:
        self.num_recorded = 0

    def __call__(self, compute: Callable[[], Outputs]) -> CapturedGraph:
        self.num_recorded += 1
        return Replayed(compute)


def twice(waveforms: torch.Tensor, num_samples: torch.Tensor) -> Outputs:
    return {"a": 2 * waveforms, "b": waveforms.sum(dim=1) + num_samples}


def batch(rows: int, value: float) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.full((rows, 3), value), torch.full((rows,), 3)


def test_a_shape_is_recorded_when_it_comes_up_the_third_time_and_gives_the_same() -> None:
    recorder = Recorder()
    graphs = Graphs(twice, recorder)
    recorded = []
    for call in range(5):
        for rows in (2, 5):
            inputs = batch(rows, float(call))
            found, expected = graphs(*inputs), twice(*inputs)
            assert all(torch.equal(found[name], expected[name]) for name in expected)
        recorded.append(recorder.num_recorded)
    assert recorded == [0, 0, 2, 2, 2]


def test_what_was_given_is_the_callers_and_what_was_taken_is_not_written_to() -> None:
    graphs = Graphs(twice, Recorder())
    for _ in range(3):
        graphs(*batch(2, 0.0))
    inputs = batch(2, 1.0)
    first = graphs(*inputs)
    graphs(*batch(2, 9.0))
    assert torch.equal(first["a"], torch.full((2, 3), 2.0))
    assert torch.equal(inputs[0], torch.full((2, 3), 1.0))


def test_there_are_so_many_graphs_and_no_more() -> None:
    for limit in ({"most": 2}, {"most_bytes": 100}):  # 36 bytes a row
        recorder = Recorder()
        graphs = Graphs(twice, recorder, **limit)
        for _ in range(4):
            for rows in (1, 2, 3):
                inputs = batch(rows, 4.0)
                assert torch.equal(graphs(*inputs)["b"], twice(*inputs)["b"])
        assert recorder.num_recorded == 2


def test_where_recording_fails_all_goes_on_and_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = 0

    def failing(_: Callable[[], Outputs]) -> CapturedGraph:
        nonlocal calls
        calls += 1
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    graphs = Graphs(twice, failing)
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            for rows in (1, 2):
                inputs = batch(rows, 4.0)
                assert torch.equal(graphs(*inputs)["a"], twice(*inputs)["a"])
    assert calls == 1
    assert [record.getMessage() for record in caplog.records] == [
        "no CUDA graphs from here on: operation not permitted when stream is capturing"
    ]


def test_an_error_of_the_computation_itself_is_the_callers() -> None:
    def wrong(*_: torch.Tensor) -> Outputs:
        raise ValueError("of its own")

    graphs = Graphs(wrong, Recorder())
    for _ in range(4):
        with pytest.raises(ValueError, match="of its own"):
            graphs(*batch(1, 0.0))


def test_what_a_recording_took_that_fails_is_free_when_the_batch_is_computed_without() -> None:
    taken: list[weakref.ref[torch.Tensor]] = []
    held = []

    def compute(*inputs: torch.Tensor) -> Outputs:
        held.append([one for one in taken if one() is not None])
        return twice(*inputs)

    def failing(_: Callable[[], Outputs]) -> CapturedGraph:
        memory = torch.empty(10)
        taken.append(weakref.ref(memory))
        raise torch.OutOfMemoryError("CUDA out of memory")

    graphs = Graphs(compute, failing)
    for _ in range(3):
        graphs(*batch(2, 0.0))
    assert len(taken) == 1
    assert held == [[], [], []]


def test_a_recording_that_fails_leaves_the_thread_on_its_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As torch's own context does not, whose `capture_end` raises before it leaves the stream."""
    streams = ["computing"]

    class Stream:
        def wait_stream(self, _: object) -> None:
            pass

    @contextmanager
    def stream(_: object) -> Iterator[None]:
        before = list(streams)
        streams.append("recording")
        try:
            yield
        finally:
            streams[:] = before

    class Graph:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def __enter__(self) -> None:
            streams.append("recording")

        def __exit__(self, *_: object) -> None:
            raise RuntimeError("operation failed due to a previous error during capture")

    for name, fake in {
        "Stream": Stream, "stream": stream, "graph": Graph, "CUDAGraph": object,
        "graph_pool_handle": object, "current_stream": lambda: streams[-1],
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, fake)
    with pytest.raises(RuntimeError, match="previous error"):
        CudaCapture()(lambda: twice(*batch(1, 0.0)))
    assert streams == ["computing"]
