"""Runners by their public names: tasks spread over processes, jobs of Slurm or actors of Ray."""

from __future__ import annotations

from typing import Any

from featbank.base.registry import Registry

RUNNERS = Registry(
    kind="runner",
    group="featbank.runners",
    contract="featbank.runners.base:Runner",
    table={
        "inline": "featbank.runners.inline:InlineRunner",
        "threads": "featbank.runners.threads:ThreadRunner",
        "local": "featbank.runners.local:LocalRunner",
        "ray": "featbank.runners.ray:RayRunner",
        "slurm": "featbank.runners.slurm:SlurmRunner",
    },
)


def __getattr__(name: str) -> Any:
    return RUNNERS.offer(name)
