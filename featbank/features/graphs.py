"""CUDA graphs of one computation, one for each shape of what it is given.

A graph is the list of kernels that a forward pass launches, recorded once and launched as one: a
host that decodes beside it has hundreds of launches less to keep up with. The kernels are the same,
and so are the bits. A shape is recorded when it has come up a few times, as those of a corpus do;
where recording fails, all goes on as before, and the log says so once.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

import torch

logger = logging.getLogger(__name__)

Outputs: TypeAlias = Mapping[str, torch.Tensor]
Computation: TypeAlias = Callable[..., Outputs]
"""Takes tensors on a device and gives others, by name, without waiting for it.

What it keeps from one call to the next, it has made by its second call in a shape.
"""

_CALLS_BEFORE = 2  # that libraries choose their algorithms in, and constants are made
_MOST = 64  # shapes
_MOST_BYTES = 8 << 30  # of inputs and outputs, which each graph holds


class CapturedGraph(Protocol):
    """Protocol of a computation that was recorded."""

    outputs: Outputs
    """Where `replay` leaves what it computed."""

    def replay(self) -> None:
        """Compute what the inputs hold that it was recorded with."""


Capture: TypeAlias = Callable[[Callable[[], Outputs]], CapturedGraph]
"""Runs a computation once, recording it; raises a RuntimeError where it cannot be."""


class Graphs:
    """Computes as a function does, by graphs where a shape has come up before.

    Args:
        compute: the function.
        capture: of a computation; of CUDA's, one that shares its memory among all shapes.
        most: graphs that are held; further shapes are computed without.
        most_bytes: of inputs and outputs behind which none is added.
    """

    def __init__(
        self,
        compute: Computation,
        capture: Capture | None = None,
        *,
        most: int = _MOST,
        most_bytes: int = _MOST_BYTES,
    ) -> None:
        self._compute = compute
        self._capture = capture or CudaCapture()
        self._most, self._most_bytes = most, most_bytes
        self._calls: Counter[tuple[torch.Size, ...]] = Counter()
        self._graphs: dict[tuple[torch.Size, ...], _Graph] = {}
        self._num_bytes = 0
        self._has_failed = False

    def __call__(self, *inputs: torch.Tensor) -> Outputs:
        """Compute; the outputs are the caller's."""
        shape = tuple(one.shape for one in inputs)
        if shape in self._graphs:
            return self._graphs[shape](*inputs)
        self._calls[shape] += 1
        is_full = len(self._graphs) >= self._most or self._num_bytes >= self._most_bytes
        if self._has_failed or is_full or self._calls[shape] <= _CALLS_BEFORE:
            return self._compute(*inputs)
        self._record(shape, inputs)
        # only now: while an error is handled, it holds the memory that the recording took
        return self._graphs.get(shape, self._compute)(*inputs)

    def _record(self, shape: tuple[torch.Size, ...], inputs: tuple[torch.Tensor, ...]) -> None:
        try:
            graph = _Graph(self._compute, self._capture, inputs)
        except RuntimeError as error:  # what cannot be recorded; memory for it, too
            self._has_failed = True
            logger.warning(
                "no CUDA graphs from here on: %s", str(error).partition("\n")[0] or repr(error)
            )
            return
        self._graphs[shape] = graph
        self._num_bytes += graph.num_bytes


class _Graph:
    """A recording with its inputs and outputs, which stay where they are."""

    def __init__(
        self, compute: Computation, capture: Capture, inputs: tuple[torch.Tensor, ...]
    ) -> None:
        self._inputs = [one.clone() for one in inputs]
        self._captured = capture(lambda: compute(*self._inputs))
        held = (*self._inputs, *self._captured.outputs.values())
        self.num_bytes = sum(one.nbytes for one in held)

    def __call__(self, *inputs: torch.Tensor) -> Outputs:
        for held, given in zip(self._inputs, inputs, strict=True):
            held.copy_(given)
        self._captured.replay()
        # a copy: the next replay, of any shape, may write there
        return {name: values.clone() for name, values in self._captured.outputs.items()}


class CudaCapture:
    """Records CUDA graphs that share their memory, since no two are replayed at once."""

    def __init__(self) -> None:
        self._pool: object = None
        self._stream: torch.cuda.Stream | None = None

    def __call__(self, compute: Callable[[], Outputs]) -> CapturedGraph:
        """Record a computation, and wait for the device meanwhile."""
        if self._stream is None:
            self._pool = torch.cuda.graph_pool_handle()
            self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        graph, stream = torch.cuda.CUDAGraph(), self._stream
        stream.wait_stream(torch.cuda.current_stream())
        # around all of it, for torch does not leave the stream of a recording that fails
        with torch.cuda.stream(stream):
            compute()  # once more, on the stream: its libraries take their memory there
            # of this thread's calls alone: others copy and wait for events meanwhile
            with torch.cuda.graph(
                graph,
                pool=self._pool,  # type: ignore[arg-type]
                stream=stream,
                capture_error_mode="thread_local",
            ):
                outputs = compute()
        return _CapturedOnCuda(graph, outputs)


class _CapturedOnCuda:
    def __init__(self, graph: torch.cuda.CUDAGraph, outputs: Outputs) -> None:
        self._graph = graph
        self.outputs = outputs

    def replay(self) -> None:
        self._graph.replay()
