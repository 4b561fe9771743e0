"""Functions over arrays of units take tensors, and then give tensors."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from featbank.base.units import deduplicate, expand
from featbank.errors import ConfigError, FeatbankError
from featbank.sequences import UnitBpe, chunk, delay, flatten, unchunk, undelay, unflatten
from featbank.sequences.checks import refuse_unit

UNITS = np.array([7, 7, 3, 3, 3, 7])
CODES = np.array([[1, 2, 3], [4, 5, 6]])
BPE = UnitBpe.train(
    (torch.from_numpy(UNITS) for _ in range(3)), num_units=9, vocab_size=12, min_frequency=1
)

CALLS: dict[str, tuple[Callable[..., Any], np.ndarray]] = {
    "deduplicate": (deduplicate, UNITS),
    "expand": (lambda units: expand(units, units), UNITS),
    "flatten": (flatten, CODES),
    "flatten with offsets": (lambda codes: flatten(codes, 10), CODES),
    "unflatten": (lambda tokens: unflatten(tokens, 2), UNITS),
    "delay": (lambda codes: delay(codes, pad=9), CODES),
    "undelay": (lambda codes: undelay(codes, pad=9), delay(CODES, pad=9)),
    "chunk": (lambda tokens: chunk(tokens, 4, 3), UNITS),
    "chunk with a pad": (lambda tokens: chunk(tokens, 4, tail="pad", pad=9), UNITS),
    "unchunk": (lambda tokens: unchunk([tokens, tokens[:2]]), UNITS),
    "encode": (BPE.encode, UNITS),
    "decode": (BPE.decode, BPE.encode(UNITS)),
    "durations": (BPE.durations, BPE.encode(UNITS)),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "uint16"])
def test_a_tensor_gives_what_an_array_gives(name: str, dtype: str) -> None:
    function, values = CALLS[name]
    values = values.astype(dtype)
    of_array, of_tensor = function(values), function(torch.from_numpy(values))
    several = isinstance(of_array, tuple | list)
    assert type(of_tensor) is (type(of_array) if several else torch.Tensor)
    for one, other in zip(
        of_array if several else [of_array], of_tensor if several else [of_tensor], strict=True
    ):
        assert isinstance(other, torch.Tensor)
        new_to_torch = one.dtype.name in ("uint16", "uint32") and one.dtype.name != dtype
        assert str(other.dtype) == f"torch.{'int64' if new_to_torch else one.dtype.name}"
        np.testing.assert_array_equal(other.numpy(), one)


def test_durations_of_a_tensor_can_be_computed_with() -> None:
    units, durations = deduplicate(torch.from_numpy(UNITS))
    assert torch.repeat_interleave(units, durations).tolist() == UNITS.tolist()
    assert (durations + 1).max() == 4
    assert expand(units, durations.numpy()).tolist() == UNITS.tolist()  # type: ignore[arg-type]


def test_what_is_no_integer_is_refused_as_of_an_array() -> None:
    for tensor in (
        torch.zeros(2, 3),
        torch.zeros(2, 3, dtype=torch.bfloat16, requires_grad=True),
        torch.zeros(2, 3, dtype=torch.bool),
    ):
        with pytest.raises(FeatbankError, match=r"\(Q, T\) integers, got \(2, 3\) of (float|bool)"):
            delay(tensor, pad=9)  # type: ignore[arg-type]
    with pytest.raises(FeatbankError, match="pad: expected a value of uint8, got 256"):
        delay(torch.zeros((2, 3), dtype=torch.uint8), pad=256)  # type: ignore[arg-type]


def test_numbers_may_be_tensors_and_make_no_tensor_of_an_array() -> None:
    assert isinstance(delay(CODES, pad=torch.tensor(9)), np.ndarray)  # type: ignore[arg-type]
    of_tensor = delay(torch.from_numpy(CODES), torch.tensor(9))  # type: ignore[arg-type]
    assert of_tensor.tolist() == delay(CODES, 9).tolist()


def test_tensors_on_two_devices_are_refused() -> None:
    with pytest.raises(FeatbankError, match="on one device, got cpu and meta"):
        expand(torch.ones(2), torch.ones(2, device="meta"))  # type: ignore[arg-type]


def test_sequences_of_arrays_import_no_torch() -> None:
    code = (
        "import sys, featbank.base.units, featbank.sequences.patterns, featbank.sequences.chunks;"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("value", [-100, 500, np.int32(500), torch.tensor(-1), -100.0, -(1 << 63)])
def test_what_is_no_unit_may_stand_beside_units(value: Any) -> None:
    assert refuse_unit("separator", value, 500) == int(value)


@pytest.mark.parametrize("value", [0, 499, np.uint8(5), True, 7.0])
def test_a_unit_is_no_sentinel(value: Any) -> None:
    with pytest.raises(ConfigError, match="separator: expected a number that is no unit: negative"):
        refuse_unit("separator", value, 500)
    assert refuse_unit("separator", value, None) == value


@pytest.mark.parametrize("value", ["<s>", None, 0.5, float("nan"), float("-inf"), 1 << 63, [1]])
def test_what_is_no_integer_is_no_sentinel(value: Any) -> None:
    with pytest.raises(ConfigError, match="separator: expected an integer of 64 bits, got"):
        refuse_unit("separator", value, 500)
