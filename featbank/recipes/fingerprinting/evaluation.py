"""Evaluation mode for every module that a recipe can reach, and a check of their state."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from featbank.errors import ConfigError
from featbank.recipes.fingerprinting.objects import unwrapped
from featbank.recipes.fingerprinting.reaching import reachable_modules
from featbank.recipes.fingerprinting.watching import Watch

# what a module may fill by use, and what is in it is put back
_CONTAINERS = (dict, OrderedDict, list, set, deque)
_EVERY = 32  # batches
_HOOKS = frozenset(name for name in vars(torch.nn.Module()) if "hooks" in name)


class Evaluation:
    """Modules in evaluation mode, whose state computing must leave as it is.

    Args:
        roots: what holds them, and what to call it.
        changed: says in words what of the recipe's fingerprint is another one now.

    Attributes:
        modules: and where each was met.
    """

    def __init__(
        self,
        roots: Sequence[tuple[str, Any]],
        changed: Callable[[], Sequence[str]] | None = None,
    ) -> None:
        self.modules = reachable_modules(roots)
        self._roots = roots
        # what spreads or compiles a module knows its own first use
        own = [module for module in self.modules if unwrapped(module) is module]
        self._before = {module: _remember(module) for module in own}
        self._watch = Watch(self.modules)
        self._changed = changed
        self._num_batches = 0

    def refuse_changed(self) -> None:
        """Refuse modules whose state follows from what they computed; call it after each batch.

        A parameter or a buffer may not change. Another tensor may be made at the first batch, as
        speechbrain's `ContextWindow` makes its kernel, if the second gives the same from the same
        start, or one of another size, as position embeddings are.

        After each of the first batches, then more seldom, so that it costs nothing.

        Raises:
            ConfigError: what is computed depends on the batches before.
        """
        self._num_batches += 1
        number = self._num_batches
        if number & (number - 1) == 0 or number % _EVERY == 0:
            self._watch.check()
        if number == 1:
            self._refuse_new()
            self.restore()  # so that the second batch makes again what the first one made

            if self._changed is not None and (names := self._changed()):
                raise ConfigError(
                    "what compute_features uses",
                    expected="the same after a batch as before it, for what is stored may not "
                    "depend on the order of the utterances",
                    got="; ".join(names),
                    hint="compute without it, or name it in fingerprint_with",
                )

    def _refuse_new(self) -> None:
        """Refuse a module that the first batch made, and that is not in evaluation mode."""
        for module, where in reachable_modules(self._roots).items():
            if module not in self.modules and module.training:
                raise ConfigError(
                    f"{where}, a {type(module).__name__}",
                    expected="a module that is there before the first batch",
                    got="one that it made, in training mode",
                    hint="make it where the recipe makes its modules, or put it into eval() mode",
                )

    def restore(self) -> None:
        """Give all modules the attributes that they had."""
        for module, before in self._before.items():
            _put_back(module, before)


@contextmanager
def evaluating(
    modules: Iterable[torch.nn.Module] | Mapping[str, torch.nn.Module],
    hparams_values: Any = None,
    *others: Any,
    changed: Callable[[], Sequence[str]] | None = None,
) -> Iterator[Evaluation]:
    """Put every module in reach into evaluation mode, and torch into inference mode.

    On leaving, come what may, each has its own mode and its attributes again: what a module makes
    by use (caches, counters, `ContextWindow`'s kernel) is gone, and its fingerprint is what it was.
    Only tensors changed in place cannot be put back, and `refuse_changed` refuses those.

    Args:
        modules: of torch.
        hparams_values: what else holds modules, however deep: lists, dicts, partial functions,
            objects with attributes, functions with closures.
        others: more of that: the brain itself, `compute_features`.
        changed: says in words what of the recipe's fingerprint is another one now: asked once,
            after the first batch, for what is no module may keep a state, too.

    Raises:
        ConfigError: at its first use, for a global `InputNormalization` of speechbrain that has
            seen no data: in evaluation mode it has no statistics, and in training mode they would
            follow from the order of the utterances.
    """
    named = list(modules.items()) if isinstance(modules, Mapping) else list(enumerate(modules))
    roots = [(f"modules.{name}", module) for name, module in named]
    roots += [("hparams", hparams_values), *(("self", one) for one in others)]
    evaluation = Evaluation(roots, changed)
    training = {module: module.training for module in evaluation.modules}
    guards = []
    try:
        for module, where in evaluation.modules.items():
            module.training = False
            if _is_fresh(module):
                guards.append(module.register_forward_pre_hook(_Refusing(where)))
        with torch.inference_mode():
            yield evaluation
    finally:
        for guard in guards:
            guard.remove()
        evaluation.restore()
        for module, mode in training.items():
            module.training = mode


def _remember(module: torch.nn.Module) -> dict[str, Any]:
    """Return the attributes of a module, and copies of the containers among them."""
    held = dict(vars(module))
    held[""] = {
        name: one.copy()
        for name, one in held.items()
        if type(one) in _CONTAINERS and name not in _HOOKS
    }
    return held


def _put_back(module: torch.nn.Module, before: dict[str, Any]) -> None:
    held = vars(module)
    for name in [name for name in held if name not in before]:
        del held[name]
    for name, one in before.items():
        if name == "training" or not name:
            continue
        if held.get(name) is not one or name not in held:
            held[name] = one
        copy = before[""].get(name)
        if copy is not None and not _same(one, copy):
            one.clear()
            (one.update if hasattr(one, "update") else one.extend)(copy)


def _same(one: Any, other: Any) -> bool:
    """Return whether two containers hold the very same objects."""
    if isinstance(one, dict):
        return list(one) == list(other) and all(one[name] is other[name] for name in one)
    if isinstance(one, set):
        return bool(one == other)
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))


def _is_fresh(module: torch.nn.Module) -> bool:
    """Return whether a module is a global normaliser of speechbrain that has seen no data."""
    names = {
        kind.__name__
        for kind in type(module).__mro__
        if kind.__module__.partition(".")[0] == "speechbrain"
    }
    is_global = getattr(module, "norm_type", None) == "global"
    return "InputNormalization" in names and is_global and getattr(module, "count", None) == 0


class _Refusing:
    """Refuses the first use of a normaliser without statistics."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __call__(self, module: torch.nn.Module, _inputs: Any) -> None:
        if _is_fresh(module):
            raise ConfigError(
                f"{self._where}, a global {type(module).__name__}",
                expected="statistics, for it is used in evaluation mode",
                got="none: it has seen no data",
                hint="recover them from a checkpoint before cache_features, "
                "or give it norm_type: sentence",
            )
