"""Encoding of settings as text: the same on every machine and in every process."""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import io
import logging
import os
import random
import re
import threading
import types
import uuid
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from functools import partial
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from torch.utils.hooks import RemovableHandle

from featbank.files.provenance import digest
from featbank.recipes.fingerprinting.tensors import NoDigestError, tensor_digest
from featbank.recipes.fingerprinting.walk import NAMED, Walk

# whose value is a part of no feature
_NEUTRAL = (
    logging.Logger,
    logging.LoggerAdapter,
    torch.device,
    type(threading.Lock()),
    type(threading.RLock()),
    threading.local,
    type(os.environ),
    RemovableHandle,  # of a hook, which counts itself
)
_BY_TEXT = (
    datetime.date,
    datetime.time,
    datetime.timedelta,
    decimal.Decimal,
    fractions.Fraction,
    uuid.UUID,
    range,
    slice,
    torch.dtype,
    torch.layout,
    torch.memory_format,
    np.dtype,
    types.EllipsisType,
    types.NotImplementedType,
)
_RANDOM = (torch.Generator, random.Random, np.random.Generator, np.random.RandomState)
_FUNCTIONS = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodWrapperType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
)
_NATIVE = frozenset({"ufunc", "_lru_cache_wrapper", "_ArrayFunctionDispatcher"})


class Values:
    """Encodes plain values, and has others encode functions, classes, modules and objects.

    Args:
        walk: collects what cannot be encoded.
        encode_code: of a function or a class, and the place where it was met.
        encode_module: of a torch module.
        encode_object: of anything else with attributes.
    """

    def __init__(
        self,
        walk: Walk,
        encode_code: Callable[[Any, str], str],
        encode_module: Callable[[torch.nn.Module, str], str],
        encode_object: Callable[[Any, str], str],
    ) -> None:
        self._walk = walk
        self._encode_code = encode_code
        self._encode_module = encode_module
        self._encode_object = encode_object
        self._stack: dict[int, int] = {}
        self._outermost = 0  # of what the value in hand refers back to
        self._done: dict[int, tuple[Any, str]] = {}  # the values, too, so that no id is used again

    def encode(self, value: Any, where: str) -> str:
        """Return the one text that a value is encoded as.

        Args:
            value: it.
            where: how errors call it, and `fingerprint_with` can.
        """
        if self._walk.stands_for(where):
            return NAMED
        if value is None or type(value) in (bool, int):
            return repr(value)
        if type(value) in (float, complex):
            return _number(value)
        if type(value) in (str, bytes, bytearray):
            return f"{type(value).__name__} {value!a}"
        key = id(value)
        if key in self._done:
            return self._done[key][1]
        if key in self._stack:
            self._outermost = min(self._outermost, self._stack[key])
            return f"the value {len(self._stack) - self._stack[key]} levels up"
        depth = self._stack[key] = len(self._stack)
        outer, self._outermost = self._outermost, depth
        try:
            encoded = self._encode(value, where)
        except NoDigestError as error:
            encoded = self._walk.refuse(where, str(error))
        finally:
            del self._stack[key]
        if self._outermost >= depth:  # it does not hang on what is around it
            self._done[key] = value, encoded
        self._outermost = min(outer, self._outermost)
        return encoded

    def _encode(self, value: Any, where: str) -> str:  # noqa: C901
        if isinstance(value, torch.nn.Module):
            return self._encode_module(value, where)
        if isinstance(value, torch.Tensor):
            return f"tensor {tensor_digest(value)}"
        if isinstance(value, np.ndarray | np.generic):
            return self._array(value, where)
        if isinstance(value, _NEUTRAL):
            return "neutral"
        if isinstance(value, enum.Enum):
            token = self._encode_code(type(value), where)
            return f"{token} {value.name!a} {self.encode(value.value, where)}"
        if isinstance(value, PurePath):
            return f"path {value.as_posix()!a}"
        if isinstance(value, re.Pattern):
            return f"pattern {value.pattern!a} {value.flags}"
        if isinstance(value, _BY_TEXT):
            return f"{type(value).__name__} {value!r}"
        if isinstance(value, partial):
            return self._list("partial", [value.func, value.args, value.keywords], where)
        if isinstance(value, types.BuiltinMethodType) and _is_bound(value):
            return self._list(f"native {value.__qualname__}", [value.__self__], where)
        if isinstance(value, types.MethodType):
            inner = [value.__self__, value.__func__]
            return self._list("method", inner, where)
        if isinstance(value, (type, *_FUNCTIONS)) or _is_native_function(value):
            return self._encode_code(value, where)
        if isinstance(value, weakref.ReferenceType):
            return self._list("reference", [value()], where)
        if isinstance(value, types.ModuleType):
            raise NoDigestError("a Python module is handed on whole")
        _refuse_what_changes(value)
        return self._container(value, where)

    def _container(self, value: Any, where: str) -> str:
        kind = type(value).__name__
        plain = type(value).__module__ in ("builtins", "collections", "types")
        if plain and isinstance(value, Mapping):
            entries = [
                [self.encode(name, where), self.encode(inner, f"{where}.{name}")]
                for name, inner in value.items()
            ]
            return digest(["mapping", sorted(entries)])
        if plain and isinstance(value, list | tuple | deque):
            return self._list(kind, value, where)
        if plain and isinstance(value, Set):
            return digest(["set", sorted(self.encode(one, where) for one in value)])
        if isinstance(value, tuple) and hasattr(value, "_fields"):  # named
            return self._list(kind, value, where)
        if isinstance(value, torch.Size):
            return self._list(kind, value, where)
        return self._encode_object(value, where)

    def _list(self, kind: str, values: Sequence[Any] | deque[Any], where: str) -> str:
        return digest([kind, *(self.encode(one, where) for one in values)])

    def _array(self, value: Any, where: str) -> str:
        if value.dtype.hasobject:
            return self._list("array", value.tolist(), where)
        head = [type(value).__name__, str(value.dtype), list(value.shape)]
        data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
        return digest([*head, tensor_digest(torch.from_numpy(data.copy()))])


def _number(value: float | complex) -> str:
    if isinstance(value, complex):
        return f"complex {value.real.hex()} {value.imag.hex()}"
    return f"float {value.hex()}"


def _is_native_function(value: Any) -> bool:
    """Return whether a value is a function of a compiled module, such as `torch.add`."""
    return type(value).__name__ in _NATIVE or type(value).__module__ == "torch._ops"


def _is_bound(value: Any) -> bool:
    """Return whether a native function is a method of a value, but for those of whole modules.

    `random.random` is a method of a generator that all the process shares.
    """
    whose = value.__self__
    shared = any(getattr(one, value.__name__, None) == value for one in (random, np.random))
    return whose is not None and not isinstance(whose, types.ModuleType | type) and not shared


def _refuse_what_changes(value: Any) -> None:
    """Refuse what has another value after each use, or values elsewhere.

    Raises:
        NoDigestError: it is such a thing.
    """
    if isinstance(value, _RANDOM):
        raise NoDigestError(f"a random generator, {type(value).__name__}, changes by use")
    if isinstance(value, types.GeneratorType | types.CoroutineType | types.AsyncGeneratorType):
        raise NoDigestError("a generator cannot be looked into")
    if isinstance(value, io.IOBase):
        raise NoDigestError("an open file has no value")
    if isinstance(value, Iterator):
        raise NoDigestError(f"an iterator, {type(value).__name__}, is used up")
    if isinstance(value, types.FrameType | types.CodeType):
        raise NoDigestError(f"a {type(value).__name__} has no value of its own")
