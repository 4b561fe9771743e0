"""The choices of params.yaml, each held against the files of conf/ that it names."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from featbank.errors import ConfigError, InvalidConfigError
from featbank.pipeline.choices import PARAMS, formed_choices
from featbank.pipeline.composition.composed import CONF


def check_choices() -> None:
    """Refuse choices that params.yaml has in another form, and those that point at nothing.

    Raises:
        InvalidConfigError: all that is wrong with params.yaml.
    """
    if faults := choice_faults():
        raise InvalidConfigError(faults)


def choice_faults() -> Sequence[ConfigError]:
    """Return all that is wrong with params.yaml."""
    try:
        choices = formed_choices()
    except InvalidConfigError as error:
        return error.faults
    except ConfigError as error:
        return [error]
    missing = [
        _no_option(group, name)
        for group, names in choices.options.items()
        for name in dict.fromkeys(names)
        if name not in options_of(group)
    ]
    return [*choices.faults(), *missing]


def _no_option(group: str, name: str) -> ConfigError:
    known = options_of(group)
    near = get_close_matches(name, known, n=1)
    return ConfigError(
        f"{PARAMS}: {group} {name}",
        expected=f"a file {CONF / group}/{name}.yaml",
        got="none",
        hint=f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}",
    )


def options_of(group: str) -> Sequence[str]:
    """Return the options of a group of conf/, by name."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))
