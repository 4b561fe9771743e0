"""Entry into a stage through Hydra: errors in one line, nothing run before the stage begins."""

from __future__ import annotations

import argparse
import functools
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, RangeSweep
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from featbank.base.visible import log_visibly, visible
from featbank.errors import ConfigError, FeatbankError
from featbank.pipeline.composition.composed import NAMED_GROUPS, Config, name_of, read_config
from featbank.pipeline.composition.conf_files import CheckedFiles
from featbank.pipeline.described import Described
from featbank.pipeline.help import FLAGS, help_text
from featbank.pipeline.sections import Knobs

_RAISE = "HYDRA_FULL_ERROR"
"""Has Hydra raise errors, instead of printing their tracebacks."""

_OF_HYDRA = frozenset(["hydra.verbose", "hydra/job_logging", "hydra/hydra_logging"])
"""What may be typed of Hydra's own configuration; the rest can run code, or writes files."""

_FLAGS = {flag: f"{key}=true" for flag, key in FLAGS.items()}
"""What stands for a value on the command line, whose flags Hydra fixes."""

_HELP = "of_stage"
"""The option of Hydra's group of helps that is a stage's own."""

_GROUPS = (*NAMED_GROUPS, "runner")

_NO_OPTION = (bool, int, float, dict, RangeSweep, IntervalSweep)
"""What Hydra would put in place of an option of conf/."""

_OF_COMPOSING = (
    FeatbankError,
    HydraException,
    OmegaConfBaseException,
    OSError,
    RecursionError,
    ValueError,
)
"""What Hydra raises about files and values, before a stage begins."""


def entered_through_hydra(
    function: Callable[[Callable[[], Config]], None],
    kind: type[Config],
    config_path: str = "../conf",
) -> Callable[[], None]:
    """Return a function that composes a stage's configuration from the command line and calls it.

    Args:
        function: the stage. It is given what reads its configuration, and raises what is wrong.
        kind: the schema of that.
        config_path: of the files' folder, seen from the stage's script.
    """
    config_name = name_of(kind)
    asked = os.environ.get(_RAISE)
    begun = False

    @functools.wraps(function)
    def begin(config: DictConfig) -> None:
        nonlocal begun
        begun = True
        _set(_RAISE, asked)
        log_visibly()
        function(lambda: read_config(kind, config))
        begun = False  # several runs are composed one after another
        os.environ[_RAISE] = "1"

    enter = hydra.main(version_base="1.3", config_path=config_path, config_name=config_name)(begin)

    @functools.wraps(function)
    def main() -> None:
        CheckedFiles.install()
        os.environ[_RAISE] = "1"
        sys.argv[1:] = [_FLAGS.get(argument, argument) for argument in sys.argv[1:]]
        try:
            if _check_typed(sys.argv[1:], config_name).help:
                _offer_help(function, kind)
                # beside the others, for argparse takes no values on both sides of a flag
                typed = (at for at, one in enumerate(sys.argv) if at and "=" in one)
                sys.argv.insert(next(typed, len(sys.argv)), f"hydra/help={_HELP}")
            enter()
        except _OF_COMPOSING as error:
            if begun or asked == "1":
                raise
            name = type(error if isinstance(error, FeatbankError) else ConfigError("")).__name__
            raise SystemExit(f"{name}: {visible(_told(error))}") from error
        finally:
            _set(_RAISE, asked)

    return main


def _set(variable: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(variable, None)
    else:
        os.environ[variable] = value


def _offer_help(function: Callable[..., None], kind: type[Knobs]) -> None:
    """Have Hydra print the help that the schema of a stage gives."""

    def told(*, _root_: DictConfig) -> str:
        found = OmegaConf.to_container(_root_, resolve=False)
        assert isinstance(found, dict)
        values = {str(key): value for key, value in found.items()}
        said = getattr(sys.modules[function.__module__], "__doc__", None) or ""
        return help_text(name_of(kind), said, Described.of(kind), values)

    OmegaConf.register_new_resolver("help_of_stage", told, replace=True)
    ConfigStore.instance().store(
        group="hydra/help", name=_HELP, node={"template": "${help_of_stage:}"}
    )


def _check_typed(arguments: list[str], stage: str) -> argparse.Namespace:
    """Return the flags of Hydra's, but for those that would run code or put files anywhere.

    Raises:
        ConfigError: such is typed, or would put an option of conf/ where its values could.
    """
    typed: argparse.Namespace = get_args_parser().parse_args(arguments)
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
    for one in OverridesParser.create().parse_overrides(typed.overrides):
        key, text, value = one.key_or_group, str(one.input_line), one.value()
        if key not in _OF_HYDRA and re.split("[./]", key)[0] == "hydra":
            allowed = ", ".join(sorted(_OF_HYDRA))
            raise ConfigError(text, expected=f"of Hydra's own keys {allowed} alone", got=key)
        if (
            not one.is_delete()
            and key in _GROUPS
            and any(one is None or isinstance(one, _NO_OPTION) for one in _several(value))
        ):
            raise ConfigError(text, expected=f"an option of conf/{key}", got=text.partition("=")[2])
        if typed.multirun and key == "overwrite" and value is not False:
            told = "false with --multirun, where a run could replace what another has made"
            raise ConfigError(text, expected=told, got=text.partition("=")[2])
        if one.package is not None:
            raise ConfigError(text, expected="an option in its own group", got=f"@{one.package}")
    return typed


def _several(value: Any) -> Sequence[Any]:
    """Return the values of a key over several runs, `a,b`; the one value, where it is for one."""
    return value.list if isinstance(value, ChoiceSweep) else [value]


def _told(error: Exception) -> str:
    """Say in one line what Hydra says in several, without where it looked."""
    said = [str(error).split("onfig search path:")[0].removesuffix("C")]
    if isinstance(error.__cause__, OmegaConfBaseException):
        said += str(error.__cause__).splitlines()[:1]
    text = "\n".join(said).replace(":\n\t", ": ").replace("\n\t", ", ")
    return "; ".join(line.strip().rstrip(".") for line in text.splitlines() if line.strip())
