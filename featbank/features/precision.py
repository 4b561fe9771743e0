"""In how many bits an encoder computes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from featbank.errors import ConfigError

FLOAT32 = "float32"
_DTYPES = {FLOAT32: torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def check_precision(precision: str) -> str:
    """Return a precision, if there is one of that name.

    Raises:
        ConfigError: there is not.
    """
    if precision not in _DTYPES:
        raise ConfigError("precision", expected=" or ".join(_DTYPES), got=precision)
    return precision


def computing_in(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Let torch compute matrix products and convolutions in a precision.

    Weights stay as they are, in float32, and so does what they are named by; torch's autocast takes
    a copy in fewer bits, and leaves to float32 what would suffer, as far as it does on the device.
    On a CPU without instructions for bfloat16, that is 20 times as slow as float32.

    Raises:
        ConfigError: float16 on a CPU, which is slow there, and overflows where bfloat16 does not.
    """
    if precision == "float16" and device.type == "cpu":
        raise ConfigError(
            "precision: float16",
            expected="a GPU",
            got="a CPU",
            hint="set precision: bfloat16 or float32, or device=cuda",
        )
    if precision == FLOAT32:
        return nullcontext()
    return torch.autocast(device.type, _DTYPES[precision])
