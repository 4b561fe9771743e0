"""Precision in which an encoder computes: float32, TF32, bfloat16 or float16.

In bfloat16 and float16 the model itself is of that type: its weights are rounded once, when it is
put in place, and what goes through it has no more bits. So it computes what the library's own model
does after `model.to(torch.bfloat16)`. What is taken over a whole waveform stays in float32: its
normalisation, the statistics of a group norm, a log-mel spectrogram. In TF32 weights and values are
float32, and the tensor cores of a GPU round what they multiply to 10 bits of mantissa.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.utils import parametrize

from featbank.errors import ConfigError

FLOAT32, BFLOAT16, FLOAT16, TF32 = "float32", "bfloat16", "float16", "tf32"
# that a convolution sees, if not 1: oneDNN 3.12, of torch 2.14, computes some of fewer wrongly in
# bfloat16 on CPUs with AMX, as far off as random values; no option of conf/feature has fewer
_MIN_CHANNELS = 32
_DTYPES = {
    FLOAT32: torch.float32,
    BFLOAT16: torch.bfloat16,
    FLOAT16: torch.float16,
    TF32: torch.float32,
}


def check_precision(precision: str) -> str:
    """Return `precision`, if there is one of that name.

    Raises:
        ConfigError: there is not.
    """
    if precision not in _DTYPES:
        raise ConfigError("precision", expected=" or ".join(_DTYPES), got=precision)
    return precision


def dtype_of(precision: str) -> torch.dtype:
    """Return the type of the weights, and of the values that go through the model."""
    return _DTYPES[precision]


def identity_of(precision: str) -> str:
    """Return how the identity of an extractor states a precision.

    Under the bare name of a type of fewer bits stand the stores of featbank 0.1, whose weights
    torch's autocast rounded anew for each product, and which left norms and sums in float32.
    """
    rounded = dtype_of(precision) != torch.float32
    return f"{precision}, weights too" if rounded else precision


def check_device(precision: str, device: torch.device, model: torch.nn.Module) -> None:
    """Refuse a precision that a device does not compute in as it should.

    Raises:
        ConfigError: TF32 or float16 on a CPU: it has no such units, and float16 overflows where
            bfloat16 does not; bfloat16 on a CPU where the model has convolutions that some CPUs
            compute wrongly.
    """
    if device.type != "cpu" or precision == FLOAT32:
        return
    if precision in (FLOAT16, TF32):
        raise ConfigError(
            f"precision: {precision}",
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


def cast(model: torch.nn.Module, precision: str) -> None:
    """Turn a model of float32 weights into one that computes in a precision, in place.

    A weight that is normalised (a direction and a length) is computed from both before it is
    rounded, once for all.
    """
    with torch.no_grad():
        for module in list(model.modules()):
            if parametrize.is_parametrized(module):
                for name in list(module.parametrizations):  # type: ignore[arg-type]
                    parametrize.remove_parametrizations(module, name, leave_parametrized=True)
        model.to(dtype_of(precision))


@contextmanager
def computing_in(precision: str, device: torch.device) -> Iterator[None]:
    """Let a GPU multiply in TF32 where that is the precision, and nowhere else.

    torch's own setting is one for the whole process, on by default for convolutions; it is as
    before behind this context.
    """
    if device.type != "cuda":
        yield
        return
    backends = torch.backends
    before = (
        backends.cuda.matmul.fp32_precision == TF32,
        backends.cudnn.conv.fp32_precision == TF32,  # type: ignore[attr-defined]
    )
    _allow_tf32(matmul=precision == TF32, convolutions=precision == TF32)
    try:
        yield
    finally:
        _allow_tf32(matmul=before[0], convolutions=before[1])


def _allow_tf32(*, matmul: bool, convolutions: bool) -> None:
    # by torch's older names, which set the newer ones too: those alone would leave the older ones
    # in a state that they refuse to tell
    torch.backends.cuda.matmul.allow_tf32 = matmul
    torch.backends.cudnn.allow_tf32 = convolutions
    # "none" would be what is set for all of cuDNN
    torch.backends.cudnn.conv.fp32_precision = TF32 if convolutions else "ieee"  # type: ignore[attr-defined]
