"""Entry into a stage through Hydra: errors in one line, nothing run before the stage begins."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable

import hydra
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from featbank.base.visible import log_visibly, visible
from featbank.errors import ConfigError, FeatbankError
from featbank.pipeline.composition.composed import (
    Config,
    chosen_groups,
    comments_of,
    name_of,
    options_in,
    read_config,
)
from featbank.pipeline.composition.conf_files import CheckedFiles
from featbank.pipeline.composition.typed import GROUPS, advised, parse_typed
from featbank.pipeline.described import Described
from featbank.pipeline.help import FLAGS, help_text
from featbank.pipeline.sections import Knobs

_RAISE = "HYDRA_FULL_ERROR"
"""Has Hydra raise errors, instead of printing their tracebacks."""

_FLAGS = {flag: f"{key}=true" for flag, key in FLAGS.items()}
"""What stands for a value on the command line, whose flags Hydra fixes."""

_HELP = "of_stage"
"""The option of Hydra's group of helps that is a stage's own."""

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
            if parse_typed(sys.argv[1:], kind).help:
                _offer_help(function, kind)
                # beside the others, for argparse takes no values on both sides of a flag
                typed = (at for at, one in enumerate(sys.argv) if at and "=" in one)
                sys.argv.insert(next(typed, len(sys.argv)), f"hydra/help={_HELP}")
            enter()
        except _OF_COMPOSING as error:
            if begun or asked == "1":
                raise
            told = advised(error, kind, sys.argv[1:]) or error
            name = type(told if isinstance(told, FeatbankError) else ConfigError("")).__name__
            raise SystemExit(f"{name}: {visible(_told(told))}") from error
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
        schema = Described.of(kind)
        text = help_text(
            name_of(kind),
            said,
            schema,
            values,
            options={group: options_in(group) for group in GROUPS if group in schema.keys},
            comments=comments_of(chosen_groups()),
        )
        return text.replace("$", "$$")  # a template of Hydra's

    OmegaConf.register_new_resolver("help_of_stage", told, replace=True)
    ConfigStore.instance().store(
        group="hydra/help", name=_HELP, node={"template": "${help_of_stage:}"}
    )


def _told(error: Exception) -> str:
    """Say in one line what Hydra says in several, without where it looked."""
    said = [str(error).split("onfig search path:")[0].removesuffix("C")]
    if isinstance(error.__cause__, OmegaConfBaseException):
        said += str(error.__cause__).splitlines()[:1]
    text = "\n".join(said).replace(":\n\t", ": ").replace("\n\t", ", ")
    return "; ".join(line.strip().rstrip(".") for line in text.splitlines() if line.strip())
