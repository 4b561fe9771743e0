"""What is typed behind a stage: refused where it could run code, answered where it is mistyped."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, RangeSweep
from hydra.errors import HydraException, MissingConfigException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from featbank.base.nearest import did_you_mean, near_choice, nearest
from featbank.errors import ConfigError
from featbank.pipeline.composition.composed import (
    CONF,
    NAMED_GROUPS,
    compose_alone,
    key_of,
    name_of,
    options_in,
    origin_of,
)
from featbank.pipeline.configs import CONFIGS
from featbank.pipeline.described import Described
from featbank.pipeline.faults import unknown_key
from featbank.pipeline.help import FLAGS
from featbank.pipeline.sections import Knobs

GROUPS = (*NAMED_GROUPS, "runner")
"""The groups of conf/ that a person chooses an option of."""

_OF_HYDRA = frozenset(["hydra.verbose", "hydra/job_logging", "hydra/hydra_logging"])
"""What may be typed of Hydra's own configuration; the rest can run code, or writes files."""

_NO_OPTION = (bool, int, float, dict, RangeSweep, IntervalSweep)
"""What Hydra would put in place of an option of conf/."""

_REFUSED = ("--experimental-rerun",)  # flags of Hydra's that are never advised
_OVERRIDDEN = re.compile(r"Could not override '([^']+)'")
_SEVERAL = re.compile(r"Ambiguous value for argument '([^']+)'")


def parse_typed(arguments: Sequence[str], kind: type[Knobs]) -> argparse.Namespace:
    """Return the flags of Hydra's, but for those that would run code or put files anywhere.

    Args:
        arguments: behind the name of the script.
        kind: the schema of the stage.

    Raises:
        ConfigError: such is typed, or would put an option of conf/ where its values could; or
            something is mistyped, and what is near it.
    """
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    typed, unknown = parser.parse_known_args(arguments)
    if unknown:
        flags = [flag for one in parser._actions for flag in one.option_strings]
        raise _unknown_flag(unknown[0], arguments, kind, [*FLAGS, *flags])
    stage = name_of(kind)
    if typed.experimental_rerun is not None:
        raise ConfigError("--experimental-rerun", expected="no pickle", got="one")
    if typed.config_name not in (None, stage):
        raise ConfigError("--config-name", expected=stage, got=typed.config_name)
    if typed.shell_completion and "COMP_LINE" not in os.environ and "query" in arguments[-1]:
        raise ConfigError(
            "--shell-completion", expected="COMP_LINE, as the shell sets it", got="none"
        )
    if "://" in (typed.config_path or ""):  # a module, whose files nobody checks
        raise ConfigError("--config-path", expected="a folder", got=typed.config_path)
    if not typed.shell_completion:
        _check_overrides(typed, kind)
    return typed


def advised(error: Exception, kind: type[Knobs], arguments: Sequence[str]) -> ConfigError | None:
    """Return what is to be typed in place of what Hydra refuses; None where nobody knows.

    Args:
        error: of Hydra's.
        kind: the schema of the stage.
        arguments: that were typed.
    """
    said = str(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        if group in GROUPS:
            known = list(error.options or ())
            return ConfigError(
                f"{group}={option}",
                expected=f"an option of {CONF / group}",
                got="none of that name",
                hint=did_you_mean(
                    option, known, f"there are {', '.join(known)}", before=f"{group}="
                ),
            )
    elif found := _OVERRIDDEN.match(said):
        return _unknown_key(found[1], kind, arguments)
    elif found := _SEVERAL.match(said):
        key, _, values = found[1].partition("=")
        hint = (
            "add --multirun, which runs the stage once for each"
            if key in GROUPS
            else f"write {key}=[{values}], if a list is meant"
        )
        return ConfigError(found[1], expected="one value", got="several", hint=hint)
    return None


def _check_overrides(typed: argparse.Namespace, kind: type[Knobs]) -> None:
    for number, text in enumerate(typed.overrides):
        if "=" not in text and not text.startswith("~"):
            raise _without_value(text, typed.overrides[number + 1 :], kind)
    for one in OverridesParser.create().parse_overrides(typed.overrides):
        key, text, value = one.key_or_group, str(one.input_line), one.value()
        if key not in _OF_HYDRA and re.split("[./]", key)[0] == "hydra":
            allowed = ", ".join(sorted(_OF_HYDRA))
            raise ConfigError(text, expected=f"of Hydra's own keys {allowed} alone", got=key)
        if (
            not one.is_delete()
            and key in GROUPS
            and any(one is None or isinstance(one, _NO_OPTION) for one in _several(value))
        ):
            raise ConfigError(text, expected=f"an option of conf/{key}", got=text.partition("=")[2])
        if typed.multirun and key == "overwrite" and value is not False:
            told = "false with --multirun, where a run could replace what another has made"
            raise ConfigError(text, expected=told, got=text.partition("=")[2])
        if one.package is not None:
            raise ConfigError(text, expected="an option in its own group", got=f"@{one.package}")


def _several(value: Any) -> Sequence[Any]:
    """Return the values of a key over several runs, `a,b`; the one value, where it is for one."""
    return value.list if isinstance(value, ChoiceSweep) else [value]


def _refuse(message: str) -> NoReturn:
    raise ConfigError(message, hint=near_choice(message) or "--help shows what can be typed")


def _unknown_flag(
    flag: str, arguments: Sequence[str], kind: type[Knobs], known: Sequence[str]
) -> ConfigError:
    """Say what is meant by `--feature wavlm`, or by a flag that there is not."""
    name, sign, value = flag.lstrip("-").partition("=")
    schema = Described.of(kind)
    flags = {one.lstrip("-"): one for one in known if one not in _REFUSED and one[:2] == "--"}
    meant = {**{key: f"{key}=..." for key in schema.keys}, **flags}
    for near in nearest(name, meant)[:1]:
        if near in flags:
            continue
        told = schema.at([near])
        behind = list(arguments)[list(arguments).index(flag) + 1 :]
        if not sign:
            is_switch = told is not None and told.told == "true or false"
            value = "true" if is_switch else next((one for one in behind if "=" not in one), "...")
        return ConfigError(
            flag, expected="KEY=VALUE", got="a flag", hint=f"did you mean {near}={value}?"
        )
    return ConfigError(
        flag,
        expected="a flag of the stage, or KEY=VALUE",
        got="a flag that there is not",
        hint=did_you_mean(name, flags.values(), "--help lists them"),
    )


def _without_value(text: str, behind: Sequence[str], kind: type[Knobs]) -> ConfigError:
    """Say what is meant by `feature wavlm`, by `wavlm` alone, or by any other text without `=`."""
    keys = Described.of(kind).keys
    options = {option: group for group in GROUPS if group in keys for option in options_in(group)}
    value = behind[0] if behind and "=" not in behind[0] else "..."
    hint = "--help lists the keys"
    if key := next(iter(nearest(text, keys)), ""):
        hint = f"did you mean {key}={value}?"
    elif option := next(iter(nearest(text, options)), ""):
        hint = f"did you mean {options[option]}={option}?"
    return ConfigError(text, expected="KEY=VALUE", got="no value", hint=hint)


def _unknown_key(key: str, kind: type[Knobs], arguments: Sequence[str]) -> ConfigError:
    """Say what is near a key that a stage has not, or which stages have it."""
    stage, first = name_of(kind), key.partition(".")[0]
    typed = {key_of(text): text for text in arguments if "=" in text}
    typed |= {key: f"{flag} ({typed[key]})" for flag, key in FLAGS.items() if key in typed}
    takers = [
        name
        for name, one in CONFIGS.items()
        if first in Described.of(one).keys and first not in Described.of(kind).keys
    ]
    if takers:
        return ConfigError(
            typed.get(key, key),
            expected=f"a key that {stage} takes",
            got=f"one of {', '.join(takers)}",
            hint="--help lists those of this stage",
        )
    options = {
        group: typed[group].partition("=")[2]
        for group in GROUPS
        if group in typed and typed[group].partition("=")[2] in options_in(group)
    }
    values: Mapping[str, object] = {}
    with suppress(ConfigError, HydraException, OmegaConfBaseException, SystemExit):
        composed, options = compose_alone(kind, options)
        values = OmegaConf.to_container(composed, resolve=False)  # type: ignore[assignment]
    return unknown_key(key, Described.of(kind), values, origin_of(stage, options, typed.values()))
