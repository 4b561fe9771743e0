"""Stability of tokens: how many change when the audio is changed in ways nobody hears."""

from __future__ import annotations

from typing import Any

from featbank.base.registry import Registry

DISTURBANCES = Registry(
    kind="disturbance",
    group="featbank.disturbances",
    contract="featbank.stability.disturbances:Disturbance",
    table={
        "noise": "featbank.stability.disturbances:Noise",
        "shift": "featbank.stability.disturbances:Shift",
        "gain": "featbank.stability.disturbances:Gain",
    },
)


def __getattr__(name: str) -> Any:
    return DISTURBANCES.offer(name)
