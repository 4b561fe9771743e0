"""Digests of torch modules and other objects: their class and all that they hold."""

from __future__ import annotations

import copyreg
import pickle
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import torch

from featbank.errors import LIBRARY_ERRORS
from featbank.files.provenance import digest
from featbank.recipes.fingerprinting.installed import package_of
from featbank.recipes.fingerprinting.tensors import NoDigestError

if TYPE_CHECKING:
    from featbank.recipes.fingerprinting.code import Code
    from featbank.recipes.fingerprinting.values import Values

# tables of tensors, children and hooks, and whether it is training
_OF_TORCH = frozenset(vars(torch.nn.Module())) | {"_compiled_call_impl", "_is_torch_compile"}
# torch.amp.custom_fwd leaves how the last forward ran
_OF_AUTOCAST = frozenset({"_fwd_used_autocast", "_dtype"})
_REFUSALS: tuple[type[Exception], ...] = (*LIBRARY_ERRORS, pickle.PickleError)
_SOURCES = frozenset({"_name_or_path", "name_or_path", "_commit_hash"})
_WRAPPERS = (torch.nn.parallel.DistributedDataParallel, torch.nn.DataParallel)


def unwrapped(module: torch.nn.Module) -> torch.nn.Module:
    """Return a module without what spreads it over devices or compiles it."""
    while True:
        if isinstance(module, _WRAPPERS):
            module = module.module
        elif isinstance(inner := module._modules.get("_orig_mod"), torch.nn.Module):
            module = inner  # torch.compile
        else:
            return module


def is_of_place(name: str, value: Any) -> bool:
    """Return whether an attribute says where something is computed, or came from.

    The weights of a model count, wherever transformers had them from.

    >>> is_of_place("device", "cuda:0"), is_of_place("_name_or_path", "/models/x")
    (True, True)
    """
    return is_device(name, value) or (name in _SOURCES and isinstance(value, str | None))


def is_device(name: str, value: Any) -> bool:
    """Return whether an attribute says where something is computed, which is no part of what.

    >>> is_device("device", "cuda:0"), is_device("device_gain", 0.5)
    (True, False)
    """
    return isinstance(value, torch.device) or (
        ("device" in name.split("_")) and (value is None or isinstance(value, str))
    )


def attributes(module: torch.nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield what a module holds beside its parameters, buffers and children, by name."""
    held = vars(module)
    skipped = _OF_TORCH | (_OF_AUTOCAST if "_fwd_used_autocast" in held else frozenset())
    for name in sorted(set(held) - skipped):
        if not is_of_place(name, held[name]):
            yield name, held[name]


class Objects:
    """Encodes objects by what they hold.

    Args:
        values: encodes that.
        code: encodes their classes.
    """

    def __init__(self, values: Values, code: Code) -> None:
        self._values = values
        self._code = code

    def encode_module(self, module: torch.nn.Module, where: str) -> str:
        """Return the digest of a torch module: its class, tensors, settings, children and hooks."""
        if isinstance(module, torch.jit.ScriptModule):
            raise NoDigestError("a scripted module cannot be looked into")
        module = unwrapped(module)
        tables = (module._parameters, module._buffers, module._modules)
        named = [(name, one) for table in tables for name, one in table.items()]
        hooks = [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]
        return digest(
            [
                "module",
                self._code.classes.encode(type(module), where),
                sorted(self._pairs(named, where)),
                sorted(self._pairs(attributes(module), where)),
                [self._values.encode(hook, f"{where}: hook") for hook in hooks],
            ]
        )

    def encode_object(self, value: Any, where: str) -> str:
        """Return the digest of any other object, by what pickle would keep of it.

        Raises:
            NoDigestError: it holds what Python does not see.
        """
        kind = type(value)
        try:
            reduced = value.__reduce_ex__(2)
        except _REFUSALS as error:
            raise NoDigestError(f"a {kind.__name__} holds what Python does not see") from error
        token = self._code.classes.encode(kind, where)
        if isinstance(reduced, str):
            if callable(value) and package_of(getattr(value, "__module__", None)) is None:
                raise NoDigestError("compiled code has no source")
            return f"{token} {reduced}"
        make, arguments, state, items, entries = (*reduced, None, None, None)[:5]
        if make in (copyreg.__newobj__, copyreg.__newobj_ex__):  # type: ignore[attr-defined]
            arguments = arguments[1:]  # behind the class
        elif make is not kind:
            token = digest([token, self._values.encode(make, where)])
        states = state if isinstance(state, tuple) and len(state) == 2 else [state]
        dicts = [one for one in states if isinstance(one, dict)]  # of attributes, and of slots
        rest = [one for one in states if not isinstance(one, dict) and one is not None]
        held = [(str(name), inner) for one in dicts for name, inner in one.items()]
        return digest(
            [
                "object",
                token,
                self._values.encode(tuple(arguments), where),
                sorted(self._pairs([one for one in held if not is_of_place(*one)], where)),
                self._values.encode(rest, where),
                self._values.encode(list(items or ()), where),
                self._values.encode(dict(entries or ()), where),
            ]
        )

    def _pairs(self, held: Iterable[tuple[str, Any]], where: str) -> list[list[str]]:
        return [[name, self._values.encode(one, f"{where}.{name}")] for name, one in held]
