"""Numerics class: what decides the last bits of a value besides its inputs and the code."""

from __future__ import annotations

import contextlib
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import metadata

import torch

from featbank.audio.versions import version_here
from featbank.base.processors import usable_processors
from featbank.errors import ConfigError
from featbank.store import Numerics

CPU, CUDA = "cpu", "cuda"

_AUDIO = "audio"  # what decided the samples, by name: its version

_MAX_DECODERS = 16  # some 50,000 x real time of 16 kHz FLAC

# by the memory of a GPU, less a twelfth: a card "of 32 GB" tells of 31.4 to 31.8 GiB
_BATCH_S = ((60 << 30, 480.0), (30 << 30, 240.0), (11 << 30, 120.0))
_LEAST_BATCH_S = 30.0
_UNSEEN_BATCH_S = 120.0
_GPU_VARIABLES = ("CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE")
_VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "ONEDNN_MAX_CPU_ISA",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Computing:
    """How a machine computes utterances: the part of its numerics class that a user chooses.

    Args:
        device: `cpu` or `cuda`: the GPU that the runner gives a worker.
        num_threads: that compute an utterance on the CPU.
        batch_s: seconds of audio, padding included, that are computed together; 0 for each
            utterance alone, None for what suits the device: by the memory of the GPU that this
            process sees 480 (64 GiB), 240 (32), 120 (12) or 30, where it sees none 120; without a
            GPU 0.
        in_bfloat16: whether the extractor computes in bfloat16. That is no choice of the machine's,
            but machines that agree in float32 may differ in it.
        libraries: distributions that compute beside torch. That is no choice, either.
        num_decoders: threads that decode and resample ahead of the computing, which change no bit;
            None for what suits the machine: on a GPU one more than the process has cores, for
            they wait for each other now and then, at most 16; else 1.

    Raises:
        ConfigError: one is out of its range.
    """

    device: str = CPU
    num_threads: int = 1
    batch_s: float | None = None
    in_bfloat16: bool = False
    libraries: tuple[str, ...] = ()
    num_decoders: int | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        if self.device not in (CPU, CUDA):
            raise ConfigError("device", expected=f"{CPU} or {CUDA}", got=self.device)
        if self.num_threads < 1:
            raise ConfigError("num_threads", expected="1 or more", got=self.num_threads)
        if self.num_decoders is not None and self.num_decoders < 1:
            raise ConfigError("num_decoders", expected="1 or more", got=self.num_decoders)
        if self.batch_s is not None and not 0 <= self.batch_s < math.inf:
            raise ConfigError("batch_s", expected="0 seconds or more", got=self.batch_s)

    @property
    def seconds_together(self) -> float:
        """Seconds of audio computed together: `batch_s`, or its default for the device."""
        if self.batch_s is None:
            return _batch_s_of_gpu() if self.device == CUDA else 0.0
        return float(self.batch_s)

    def settled(self) -> Computing:
        """Return these settings for all workers of a run: seconds together as of this process."""
        return replace(self, batch_s=self.seconds_together)

    @property
    def decoders(self) -> int:
        """Number of threads that decode: `num_decoders`, or its default for this process."""
        if self.num_decoders is not None:
            return self.num_decoders
        return 1 if self.device == CPU else min(_MAX_DECODERS, usable_processors() + 1)

    @property
    def sees_device(self) -> bool:
        """Whether this process has the device."""
        return self.device == CPU or torch.cuda.is_available()

    def begin(self) -> None:
        """Set torch's threads and device options in this process accordingly.

        Raises:
            ConfigError: it sees no GPU.
        """
        torch.set_num_threads(self.num_threads)
        if self.device == CPU:
            return
        if not self.sees_device:
            raise ConfigError(
                "device",
                expected="a GPU that torch can use",
                got="none",
                hint="run where there is one, a dry run too, or with device=cpu",
            )
        # an algorithm is chosen by the shape, never by how fast it happened to be
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False

    def on_cpu(self) -> Computing:
        """Return these settings for work that uses no device."""
        return Computing(num_threads=self.num_threads, batch_s=0, num_decoders=self.num_decoders)

    def numerics(self) -> Numerics:
        """Return the numerics class that this process is of once it has begun."""
        with thread_count(self.num_threads):
            found = numerics_class()
        if self.device == CUDA:
            found |= {"device": CUDA, **_gpu()}
        elif self.in_bfloat16:
            found["bfloat16"] = _bfloat16_instructions()
        if self.seconds_together:
            found["batch_s"] = self.seconds_together
        if self.libraries:
            found["libraries"] = {name: metadata.version(name) for name in sorted(self.libraries)}
        return found


ON_CPU = Computing()
"""In one thread, each utterance alone."""


def numerics_class() -> dict[str, object]:
    """Return the numerics class of this process, as far as it computes on its CPU.

    Two machines of one class give equal bits; another instruction set, version of torch or number
    of threads changes the order of sums.
    """
    return {
        "device": CPU,
        "isa": torch.backends.cpu.get_cpu_capability(),
        "onednn": torch.backends.mkldnn.enabled,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        # what a user sets to make the libraries use less than the processor has
        "variables": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
    }


def with_audio(numerics: Numerics, names: Iterable[str]) -> Numerics:
    """Return a numerics class with what decides samples on this machine, beside their files.

    Args:
        numerics: of the process.
        names: of decoders and of the resampler, as `audio.decided_by` gives them; of none the
            class is that of the computing alone.
    """
    found = {key: value for key, value in numerics.items() if key != _AUDIO}
    versions = {name: version_here(name) for name in sorted(names)}
    return {**found, _AUDIO: versions} if versions else found


def as_here(found: Numerics, here: Numerics) -> Numerics:
    """Return the class that this machine would have given what is of class `found`."""
    return with_audio(here, _audio(found))


def joint_audio(numerics: Numerics, sources: Iterable[Numerics]) -> Numerics:
    """Return a class with what decided the samples that several classes of features come from."""
    versions: dict[str, set[str]] = defaultdict(set)
    for source in sources:
        for name, version in _audio(source).items():
            versions[name].add(version)
    joint = {name: "; ".join(sorted(found)) for name, found in sorted(versions.items())}
    return {**numerics, _AUDIO: joint} if joint else dict(numerics)


def give_equal_bits(one: Numerics, other: Numerics) -> bool:
    """Tell whether two classes give the same bits of an utterance that is in shards of both.

    A decoder that only one of them names has no part in it: other rows of the shard need that.
    """
    audio = _audio(one), _audio(other)
    common = audio[0].keys() & audio[1].keys()
    return with_audio(one, ()) == with_audio(other, ()) and all(
        audio[0][name] == audio[1][name] for name in common
    )


def _audio(numerics: Numerics) -> Mapping[str, str]:
    """Return what decided samples, by name; of what no run wrote, nothing."""
    found = numerics.get(_AUDIO)
    return {name: str(one) for name, one in found.items()} if isinstance(found, dict) else {}


def _bfloat16_instructions() -> str:
    """Return what this processor has for bfloat16: of one `isa`, some have AMX and some nothing."""
    return ", ".join(
        sorted(name for name, has in torch.cpu.get_capabilities().items() if has and "bf16" in name)
    )


def _batch_s_of_gpu() -> float:
    """Return how many seconds a GPU is to compute together, which fills it and leaves it room."""
    if not torch.cuda.is_available():
        return _UNSEEN_BATCH_S
    memory = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    return next((batch_s for least, batch_s in _BATCH_S if memory >= least), _LEAST_BATCH_S)


def _gpu() -> dict[str, object]:
    """Return what kind of GPU computes, as far as this process sees one."""
    if not torch.cuda.is_available():
        return {"gpu": "none seen"}
    variables = {name: os.environ[name] for name in _GPU_VARIABLES if name in os.environ}
    return {
        **({"gpu_variables": variables} if variables else {}),
        "gpu": torch.cuda.get_device_name(),
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),  # type: ignore[no-untyped-call]
    }


@contextlib.contextmanager
def thread_count(number: int) -> Iterator[None]:
    """Compute in a number of threads, whatever the machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
