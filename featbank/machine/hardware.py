"""Processors, memory and GPUs, as far as this process may use them."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from featbank.base.processors import usable_processors
from featbank.machine.fact import MachineFact

_INSTRUCTIONS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_bf16": "AVX-512 bf16",
    "amx_bf16": "AMX bf16",
    "asimd": "NEON",
    "sve": "SVE",
}
_GIB = 1 << 30
_ENOUGH_MEMORY = 4 * _GIB
_PATIENCE_S = 20.0
_CONTROL_GROUPS = Path("/sys/fs/cgroup")


def hardware_facts() -> Iterator[MachineFact]:
    """Give processors, memory and GPUs."""
    yield _processors()
    yield _instructions()
    yield _memory()
    yield from _gpus()


def _processors() -> MachineFact:
    number = usable_processors()
    value = f"{number} usable"
    quota = _control("cpu.max").split()
    if len(quota) == 2 and quota[0].isdecimal():
        value += f", limited to the time of {int(quota[0]) / int(quota[1]):.1f}"
    return MachineFact(
        what="processors",
        value=value,
        verdict="ok" if number > 1 else "slow",
        hint="" if number > 1 else "a worker for each processor computes: use a machine with more",
    )


def _instructions() -> MachineFact:
    flags: set[str] = set()
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, words = line.partition(":")
            if name.strip() in ("flags", "Features"):
                flags = set(words.split())
                break
    found = [told for flag, told in _INSTRUCTIONS.items() if flag in flags]
    is_old = platform.machine() == "x86_64" and bool(flags) and "AVX2" not in found
    return MachineFact(
        what="instructions",
        value=f"{platform.machine()}: {', '.join(found) or 'not told'}",
        verdict="slow" if is_old else "ok",
        hint="torch is slow without AVX2: use another machine" if is_old else "",
    )


def _memory() -> MachineFact:
    total = 0
    with suppress(OSError, ValueError, IndexError):
        text = Path("/proc/meminfo").read_text(encoding="utf-8")
        total = int(text.partition("MemTotal:")[2].split()[0]) << 10
    limits = [_control("memory.max"), _control("memory/memory.limit_in_bytes")]
    limit = min((int(one) for one in limits if one.isdecimal()), default=0)
    is_limited = 0 < limit < (total or limit + 1)
    value = f"{total / _GIB:.1f} GiB" if total else "not told"
    if is_limited:
        value += f", limited to {limit / _GIB:.1f} GiB"
    least = limit if is_limited else total
    is_little = 0 < least < _ENOUGH_MEMORY
    return MachineFact(
        what="memory",
        value=value,
        verdict="slow" if is_little else "ok",
        hint="an encoder takes 1 to 4 GB a worker: runner.num_workers=1" if is_little else "",
    )


def _gpus() -> Iterator[MachineFact]:
    """Give each GPU of NVIDIA, as its driver tells, without starting anything on it."""
    asked = "--query-gpu=name,memory.total,driver_version"
    command = ["nvidia-smi", asked, "--format=csv,noheader"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE_S, check=True
        )
        gpus = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    except (OSError, subprocess.SubprocessError):
        gpus = []
    for gpu in gpus:
        yield MachineFact(what="GPU", value=gpu)
    if not gpus:
        hint = "encoders and codecs take far longer than on a GPU: device=cuda where there is one"
        yield MachineFact(what="GPU", value="none", verdict="slow", hint=hint)


def _control(name: str) -> str:
    """Return what the control group of this process says; of version 2, or a path of version 1."""
    group = "/"
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            if line.startswith("0::"):
                group = line[3:]
    for folder in (_CONTROL_GROUPS / group.strip("/"), _CONTROL_GROUPS):
        with suppress(OSError):
            return (folder / name).read_text(encoding="utf-8").strip()
    return ""
