"""A sample computed again: to the stored bits, and from disturbed audio to the same tokens?"""

from __future__ import annotations

from typing import Any

from featbank.base.registry import Registry

DISTURBANCES = Registry(
    kind="disturbance",
    group="featbank.disturbances",
    contract="featbank.certification.disturbances:Disturbance",
    table={
        "noise": "featbank.certification.disturbances:Noise",
        "shift": "featbank.certification.disturbances:Shift",
        "gain": "featbank.certification.disturbances:Gain",
    },
)


def __getattr__(name: str) -> Any:
    return DISTURBANCES.offer(name)
