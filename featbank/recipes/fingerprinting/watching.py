"""Check that the state of modules does not follow from what they have computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from featbank.errors import ConfigError
from featbank.recipes.fingerprinting.objects import attributes
from featbank.recipes.fingerprinting.tensors import NoDigestError, tensor_digest


@dataclass(frozen=True, slots=True)
class _State:
    """A tensor as it was: the object, how often it was written into, and its digest.

    The digest is None for parameters, which are large: nothing but a write in place changes them.
    """

    tensor: torch.Tensor
    version: int
    digest: str | None

    @property
    def size(self) -> tuple[object, ...]:
        return (self.tensor.dtype, *self.tensor.shape)


class Watch:
    """Tensors and floats of modules before anything was computed, to compare with later ones.

    Args:
        modules: and what to call each.
    """

    def __init__(self, modules: Mapping[torch.nn.Module, str]) -> None:
        self._modules = modules
        self._before = {
            (module, name): _state(value, is_parameter)
            for module in modules
            for name, value, is_parameter in _tensors(module)
        }
        self._made: dict[tuple[torch.nn.Module, str], _State] = {}

    def check(self) -> None:
        """Refuse a tensor that changed, or that two batches made differently.

        Buffers are held against their digests, so that a write past torch's count of writes
        (`tensor.data`) is found, too.

        Raises:
            ConfigError: there is one.
        """
        for module, where in self._modules.items():
            for name, value, is_parameter in _tensors(module):
                before = self._before.get((module, name))
                is_known = before is not None and _is_kept(before, value)
                if not is_known or not is_parameter:
                    self._look_at(module, name, f"{where}.{name}", _state(value, is_parameter))

    def _look_at(self, module: torch.nn.Module, name: str, where: str, now: _State) -> None:
        key = (module, name)
        for earlier in (self._before.get(key), self._made.get(key)):
            if earlier is None or earlier.size != now.size:
                continue
            if now.digest is None or now.digest != earlier.digest:
                raise ConfigError(
                    f"{where} of a {type(module).__name__}",
                    expected="the same after each batch, for what is stored may not depend on the "
                    "order of the utterances",
                    got="other values",
                    hint="freeze it, or compute its statistics before cache_features",
                )
        self._made[key] = now


def _is_kept(before: _State, value: torch.Tensor) -> bool:
    return value is before.tensor and _version(value) == before.version


def _tensors(module: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor, bool]]:
    """Give the tensors of a module without its children, and floats as tensors of no dimension."""
    for name, parameter in module._parameters.items():
        if parameter is not None:
            yield name, parameter, True
    held: list[tuple[str, Any]] = [*module._buffers.items(), *attributes(module)]
    for name, one in held:
        if isinstance(one, torch.Tensor):
            yield name, one, False
        elif isinstance(one, float):
            yield name, torch.tensor(one, dtype=torch.float64), False


def _state(value: torch.Tensor, is_parameter: bool) -> _State:
    digest = None
    if not is_parameter:
        try:
            digest = tensor_digest(value)
        except NoDigestError as error:
            digest = str(error)
    return _State(value, _version(value), digest)


def _version(tensor: torch.Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version
