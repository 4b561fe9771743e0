"""Parameters of a class's constructor, with those that it passes on to its base classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from inspect import Parameter, signature
from typing import Any, get_type_hints


@cache
def parameters_of(found: type) -> Mapping[str, Parameter]:
    """Return the parameters of a class by name; `*rest` and `**settings` stand for its bases'.

    >>> class Base:
    ...     def __init__(self, *, size: int = 1): ...
    >>> class Component(Base):
    ...     def __init__(self, *, name: str, **settings): ...
    >>> list(parameters_of(Component))
    ['name', 'size']
    """
    collected: dict[str, Parameter] = {}
    for _, own in _constructors(found):
        for one in own:
            collected.setdefault(one.name, one)
    return collected


def annotated_parameters(found: type) -> dict[str, Parameter]:
    """Return the parameters of a class as `parameters_of` does, their annotations evaluated."""
    collected: dict[str, Parameter] = {}
    for method, own in _constructors(found):
        hints = get_type_hints(method)
        for one in own:
            hinted = one.replace(annotation=hints.get(one.name, Any))
            collected.setdefault(one.name, hinted)
    return collected


def bind(found: type, positional: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call of a class by name, defaults included.

    What is not given and has no default is left out: the class gives it to its base itself, or its
    constructor will say that it is missing.
    """
    parameters = parameters_of(found)
    in_place = [name for name, one in parameters.items() if one.kind in _IN_PLACE]
    defaults = {name: one.default for name, one in parameters.items()}
    bound = {
        **{name: value for name, value in defaults.items() if value is not Parameter.empty},
        **dict(zip(in_place, positional, strict=False)),
        **named,
    }
    if rest := positional[len(in_place) :]:  # that a constructor has no names for
        bound["*"] = list(rest)
    return bound


_IN_PLACE = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_HANDED_ON = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


def _constructors(found: type) -> Iterator[tuple[Callable[..., None], list[Parameter]]]:
    """Give the constructors that see a call's arguments, each with its own parameters."""
    for base in found.__mro__:
        if "__init__" not in vars(base) or base is object:
            continue
        method = vars(base)["__init__"]
        _self, *own = signature(method).parameters.values()
        yield method, [one for one in own if one.kind not in _HANDED_ON]
        if not any(one.kind in _HANDED_ON for one in own):
            break
