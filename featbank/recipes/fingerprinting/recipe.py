"""Fingerprint of what a recipe computes, by named parts, so that a refusal can name one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType, MethodType
from typing import Any

import torch

from featbank.feature_io.config import FeatureStorageConfig
from featbank.files.provenance import digest
from featbank.recipes.fingerprinting.code import Code, bound
from featbank.recipes.fingerprinting.installed import package_of
from featbank.recipes.fingerprinting.objects import Objects, is_device
from featbank.recipes.fingerprinting.uses import Root
from featbank.recipes.fingerprinting.values import Values
from featbank.recipes.fingerprinting.walk import Walk

_LAYOUT = frozenset({"shard_bytes", "compression", "provenance"})  # of files, not of values
_CALLED = (FunctionType, staticmethod, classmethod, property, functools.cached_property)
_MISSING = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeFingerprint:
    """Fingerprint of a recipe: digests of all that determines its features.

    Args:
        digest: of all parts: the `fingerprint` of the stores.
        parts: the digest of each, by what it is: `modules.encoder`, `hparams.compute_fbank`,
            `source of compute_features`, `package torchaudio`.
        named: what `fingerprint_with` stood for.
    """

    digest: str
    parts: Mapping[str, str]
    named: tuple[str, ...] = ()


def fingerprint_recipe(
    compute: Callable[..., Any],
    *,
    owner: object,
    modules: Mapping[str, torch.nn.Module],
    hparams: Mapping[str, Any] | object | None,
    feature_configs: Sequence[FeatureStorageConfig],
    fingerprint_with: Mapping[str, Any] | None = None,
) -> RecipeFingerprint:
    """Take the fingerprint of what computes a recipe's features.

    What counts: the source of `compute` and of all that it calls in code that is not installed;
    installed packages by their versions; tensors and settings of what it uses of `self.modules`,
    `self.hparams`, `self`, globals and closures; `feature_configs`, but for how files are laid out.
    What does not: comments, docstrings, formatting, annotations, devices, other hparams and other
    methods, counters that the code only adds to, environment variables, the contents of files that
    it opens, and Python's version. Name in `fingerprint_with` what of these decides values.

    Take it before the modules are first used in a process: some change by use, such as
    speechbrain's `ContextWindow`. What `evaluating` computes leaves them as they were.

    Args:
        compute: `compute_features`, bound to its owner.
        owner: the brain: what `self` is.
        modules: of torch, by name, as in `self.modules`.
        hparams: what is `self.hparams`; by default that, if there is one.
        feature_configs: how the features are stored.
        fingerprint_with: for what has no digest (generators, names that are not written down,
            `self` handed on whole, code without source), and by the name that the error gives: a
            text, or any JSON value, that changes when it does.

    Raises:
        ConfigError: something has no digest and is not named, or a source was edited since it was
            imported.
    """
    named = dict(fingerprint_with or {})
    walk = Walk(named)
    recipe = _Recipe(walk, owner, modules, hparams)
    function, whose = bound(compute)
    if isinstance(function, FunctionType):
        recipe.code.start(function, is_owners=whose is owner)
    else:  # a partial, or an object that is called
        walk.parts["compute_features"] = recipe.values.encode(compute, "compute_features")
    recipe.code.run()
    walk.parts["feature_configs"] = digest(
        [_storage(config, recipe.values) for config in feature_configs]
    )
    recipe.code.run()  # a writer may be the user's own
    walk.count_package("torch")
    parts = walk.finish()
    return RecipeFingerprint(digest=digest(parts), parts=parts, named=tuple(sorted(named)))


def difference(stored_parts: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Say in words which parts differ, are new or are gone.

    >>> difference({"hparams.win": "a", "hparams.hop": "b"}, {"hparams.win": "c", "self.x": "d"})
    ['hparams.hop is gone', 'hparams.win differs', 'self.x is new']
    """
    found = {name: "differs" for name in stored_parts if now.get(name) != stored_parts[name]}
    found |= {name: "is gone" for name in stored_parts if name not in now}
    found |= {name: "is new" for name in now if name not in stored_parts}
    return [f"{name} {found[name]}" for name in sorted(found)]


class _Recipe:
    """Looks up what code uses of the owner, its hparams and its modules."""

    def __init__(
        self,
        walk: Walk,
        owner: object,
        modules: Mapping[str, torch.nn.Module],
        hparams: Mapping[str, Any] | object | None,
    ) -> None:
        self._walk = walk
        self._owner = owner
        self._modules = modules
        self._hparams = getattr(owner, "hparams", None) if hparams is None else hparams
        roots = {id(owner): Root.OWNER, id(modules): Root.MODULES}
        roots[id(getattr(owner, "modules", modules))] = Root.MODULES
        if self._hparams is not None:
            roots[id(self._hparams)] = Root.HPARAMS
        self.code = Code(walk, owner, roots, self._read)
        self.values = Values(walk, self.code.encode, self._module, self._object)
        self._objects = Objects(self.values, self.code)
        self.code.values = self.values

    def _module(self, module: torch.nn.Module, where: str) -> str:
        return self._objects.encode_module(module, where)

    def _object(self, value: Any, where: str) -> str:
        if value is self._owner:
            return self._walk.refuse("self", f"{where} holds all of it")
        return self._objects.encode_object(value, where)

    def _read(self, root: Root, name: str, defined_in: type | None) -> None:
        if root is Root.OWNER:
            self._of_owner(name)
        elif root is Root.SUPER:
            self._of_super(name, defined_in)
        elif root is Root.HPARAMS:
            value = _look_up(self._hparams, name)
            if value is _MISSING and hasattr(self._hparams, name):  # `items` of a dict
                self._walk.refuse("hparams", f"hparams.{name} may use anything of it")
            self._put("hparams", name, value)
        elif name in self._modules:
            self._put("modules", name, self._modules[name])
        else:  # all of them: handed on whole, or gone through
            for one in self._modules:
                self._put("modules", one, self._modules[one])

    def _put(self, root: str, name: str, value: Any) -> None:
        what = f"{root}.{name}"
        if value is not _MISSING and not is_device(name, value) and what not in self._walk.parts:
            self._walk.put(what, what, value, self.values.encode(value, what))

    def _of_owner(self, name: str) -> None:
        if name == "__dict__":
            self._walk.refuse("self", "self.__dict__ is all of it")
            return
        held = getattr(self._owner, "__dict__", {})
        defined = inspect.getattr_static(type(self._owner), name, _MISSING)
        is_property = isinstance(defined, property | functools.cached_property)
        if name in held and not is_property:
            value = held[name]
            if isinstance(value, MethodType) and value.__self__ is self._owner:
                self.code.follow(value.__func__, is_owners=True)
            else:
                self._put("self", name, value)
        elif isinstance(defined, _CALLED) or hasattr(defined, "__wrapped__"):
            kind = next(one for one in type(self._owner).__mro__ if name in vars(one))
            if is_property and package_of(kind.__module__):
                self._walk.refuse(f"self.{name}", "what it gives follows from the rest of self")
            else:
                self.code.follow(defined, is_owners=True, defined_in=kind)
        elif defined is _MISSING or inspect.isdatadescriptor(defined):
            self._put("self", name, getattr(self._owner, name, _MISSING))
        else:
            self._put("self", name, defined)

    def _of_super(self, name: str, defined_in: type | None) -> None:
        order = type(self._owner).__mro__
        behind = order[order.index(defined_in) + 1 :] if defined_in in order else order[1:]
        for kind in behind:
            if name in vars(kind):
                self.code.follow(vars(kind)[name], is_owners=True, defined_in=kind)
                return


def _look_up(hparams: Any, name: str) -> Any:
    if isinstance(hparams, Mapping):
        return hparams.get(name, _MISSING)
    return _MISSING if name == "__dict__" else getattr(hparams, name, _MISSING)


def _storage(config: FeatureStorageConfig, values: Values) -> list[str]:
    writer = config.writer_class
    arguments = dict(config.writer_kwargs)
    while isinstance(writer, functools.partial):
        arguments = {**writer.keywords, **arguments}
        writer = writer.func
    if isinstance(writer, type):
        writer = f"{writer.__module__}.{writer.__qualname__}" if _is_ours(writer) else writer
    arguments = {name: one for name, one in arguments.items() if name not in _LAYOUT}
    held = [config.name, config.dtype, _place(writer), arguments]
    return [values.encode(one, f"feature_configs.{config.name}") for one in held]


def _is_ours(writer: type) -> bool:
    return package_of(writer.__module__) == "featbank"


def _place(writer: Any) -> Any:
    """Return a writer by its last name where featbank has it: a path to it is no part of it."""
    return writer.rpartition(".")[2] if isinstance(writer, str) else writer
