"""Search for all torch modules that a recipe can reach, in whatever holds them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from types import FunctionType, MappingProxyType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch

from featbank.recipes.fingerprinting.installed import package_of
from featbank.recipes.fingerprinting.scope import closure_of

_LEAVES = (str, bytes, bytearray, int, float, complex, type(None), torch.Tensor, np.ndarray, type)


def reachable_modules(roots: Iterable[tuple[str, Any]]) -> dict[torch.nn.Module, str]:
    """Return every torch module that some values hold, and where it was met first.

    Looked into are modules with all their attributes, containers, partial functions, methods,
    functions with their closures, defaults and the globals they name, and objects with attributes.

    Args:
        roots: values and what to call them.
    """
    found: dict[torch.nn.Module, str] = {}
    seen: dict[int, Any] = {}  # the values, too, so that no id is used again
    waiting = deque(roots)
    while waiting:
        where, value = waiting.popleft()
        if isinstance(value, _LEAVES) or id(value) in seen:
            continue
        seen[id(value)] = value
        if isinstance(value, torch.nn.Module):
            found[value] = where
        waiting.extend(_held(value, where))
    return found


def _held(value: Any, where: str) -> Iterator[tuple[str, Any]]:  # noqa: C901
    if isinstance(value, torch.nn.Module):
        for table in (value._modules, value._forward_pre_hooks, value._forward_hooks):
            yield from ((f"{where}.{name}", inner) for name, inner in table.items())
        held = vars(value)
        yield from ((f"{where}.{name}", held[name]) for name in held if name != "_modules")
    elif isinstance(value, dict | MappingProxyType):  # other mappings may open files when asked
        yield from _entries(value.items(), where)
    elif isinstance(value, list | tuple | set | frozenset | deque):
        yield from _entries(enumerate(value), where)
    elif isinstance(value, partial):
        yield from ((where, inner) for inner in (value.func, *value.args))
        yield from ((f"{where}.{name}", inner) for name, inner in value.keywords.items())
    elif isinstance(value, MethodType):
        yield from ((where, inner) for inner in (value.__self__, value.__func__))
    elif isinstance(value, FunctionType):
        yield from _of_function(value, where)
    elif isinstance(value, ModuleType):
        if package_of(value.__name__, getattr(value, "__file__", None)) is None:
            for name, inner in vars(value).items():
                if not name.startswith("__") and not isinstance(inner, ModuleType):
                    yield f"{where}.{name}", inner
    else:
        yield from _of_object(value, where)


def _entries(held: Iterable[tuple[Any, Any]], where: str) -> Iterator[tuple[str, Any]]:
    # a manifest may have millions of them
    return ((f"{where}.{name}", one) for name, one in held if not isinstance(one, _LEAVES))


def _of_function(function: FunctionType, where: str) -> Iterator[tuple[str, Any]]:
    yield from closure_of(function).items()
    yield from ((where, inner) for inner in function.__defaults__ or ())
    yield from ((where, inner) for inner in (function.__kwdefaults__ or {}).values())
    if package_of(function.__module__, function.__code__.co_filename) is None:
        for name in function.__code__.co_names:
            if name in function.__globals__:
                yield name, function.__globals__[name]


def _of_object(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Give the attributes of an object, and the methods of a class of the user's own."""
    held = getattr(value, "__dict__", None)
    if isinstance(held, dict):
        yield from ((f"{where}.{name}", inner) for name, inner in held.items())
    if isinstance(value, SimpleNamespace):
        return
    for kind in type(value).__mro__[:-1]:
        slots = vars(kind).get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            if hasattr(value, name):
                yield f"{where}.{name}", getattr(value, name)
        if package_of(kind.__module__) is None:
            for name, inner in vars(kind).items():
                if isinstance(inner, FunctionType | torch.nn.Module):
                    yield f"{where}.{name}", inner
