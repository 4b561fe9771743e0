"""Uses of a function: the attributes, objects and functions that its code names."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from types import FunctionType
from typing import Any


class Root(Enum):
    """The objects of a recipe that a name may stand for; the value is how errors call it."""

    OWNER = "self"
    HPARAMS = "hparams"
    MODULES = "modules"
    SUPER = "super()"


@dataclass(slots=True)
class Uses:
    """The attributes, objects and functions that a function uses.

    Args:
        attributes: what it uses of a root, by its name.
        known: objects that it names, by the text of the name.
        whole: roots that it hands on whole, or asks for names that are not written down.
        dynamic: other places where what is used follows from values.
        handed: functions that the owner is given to, and the text of the call.
        names: of every attribute, and every text, that it holds.
        written: attributes of the owner, globals and closures that it writes, or adds to, as text.
        any_name: whether it asks an object for a name that is not written down.
    """

    attributes: set[tuple[Root, str]] = field(default_factory=set)
    known: dict[str, Any] = field(default_factory=dict)
    whole: dict[Root, str] = field(default_factory=dict)
    dynamic: dict[str, str] = field(default_factory=dict)
    handed: list[tuple[FunctionType, str]] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    any_name: bool = False
