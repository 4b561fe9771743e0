"""Parameters of a class's constructor, with those that it passes on to its base classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from inspect import Parameter, signature
from typing import Any, get_type_hints


@cache
def parameters_of(found: type) -> Mapping[str, Parameter]:
    """Return the parameters of a class by name; `**settings` stands for those of its bases.

    >>> class Base:
    ...     def __init__(self, *, size: int = 1): ...
    >>> class Part(Base):
    ...     def __init__(self, *, name: str, **settings): ...
    >>> list(parameters_of(Part))
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


def bind(found: type, positional: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the arguments of a call of a class by name, defaults included.

    Returns:
        None where the call lacks one, which the constructor says better.
    """
    parameters = parameters_of(found)
    in_place = [name for name, one in parameters.items() if one.kind in _IN_PLACE]
    bound = {
        **{name: one.default for name, one in parameters.items()},
        **dict(zip(in_place, positional, strict=False)),
        **named,
    }
    is_whole = all(value is not Parameter.empty for value in bound.values())
    return bound if is_whole else None


_IN_PLACE = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def _constructors(found: type) -> Iterator[tuple[Callable[..., None], list[Parameter]]]:
    """Give the constructors that see a call's arguments, each with its own parameters."""
    for base in found.__mro__:
        if "__init__" not in vars(base) or base is object:
            continue
        method = vars(base)["__init__"]
        _self, *own = signature(method).parameters.values()
        yield method, [one for one in own if one.kind is not Parameter.VAR_KEYWORD]
        if not any(one.kind is Parameter.VAR_KEYWORD for one in own):
            break
