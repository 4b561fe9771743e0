"""Precision in which an encoder computes: float32, bfloat16 or float16."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from featbank.errors import ConfigError

FLOAT32, BFLOAT16 = "float32", "bfloat16"
# that a convolution sees, if not 1: oneDNN 3.12, of torch 2.14, computes some of fewer wrongly in
# bfloat16 on CPUs with AMX, as far off as random values; no option of conf/feature has fewer
_MIN_CHANNELS = 32
_DTYPES = {FLOAT32: torch.float32, BFLOAT16: torch.bfloat16, "float16": torch.float16}


def check_precision(precision: str) -> str:
    """Return `precision`, if there is one of that name.

    Raises:
        ConfigError: there is not.
    """
    if precision not in _DTYPES:
        raise ConfigError("precision", expected=" or ".join(_DTYPES), got=precision)
    return precision


def computing_in(
    precision: str, device: torch.device, model: torch.nn.Module
) -> AbstractContextManager[Any]:
    """Let torch compute matrix products and convolutions in a precision.

    Weights stay as they are, in float32, and so does what they are named by; torch's autocast takes
    a copy in fewer bits, and leaves to float32 what would suffer, as far as it does on the device.
    On a CPU without instructions for bfloat16, that is 20 times as slow as float32.

    Args:
        precision: float32, bfloat16 or float16.
        device: that the model is on.
        model: that computes.

    Raises:
        ConfigError: float16 on a CPU, which is slow there, and overflows where bfloat16 does not;
            bfloat16 on a CPU where the model has convolutions that some CPUs compute wrongly.
    """
    if precision == FLOAT32:
        return nullcontext()
    if device.type == "cpu":
        _refuse_on_cpu(precision, model)
    return torch.autocast(device.type, _DTYPES[precision])


def _refuse_on_cpu(precision: str, model: torch.nn.Module) -> None:
    if precision == "float16":
        raise ConfigError(
            "precision: float16",
            expected="a GPU",
            got="a CPU",
            hint="set precision: bfloat16 or float32, or device=cuda",
        )
    for name, module in model.named_modules():
        if not isinstance(module, torch.nn.Conv1d):
            continue
        num_channels = module.in_channels // module.groups
        if 1 < num_channels < _MIN_CHANNELS:
            raise ConfigError(
                "precision: bfloat16",
                expected=f"convolutions that see 1 channel or at least {_MIN_CHANNELS}",
                got=f"{num_channels} in {name}, which CPUs with AMX compute wrongly",
                hint="set precision: float32, or device=cuda",
            )
