"""The decorator `stage`, which gives a function configuration, locks, signals and clear errors."""

from __future__ import annotations

import functools
import logging
import signal
import sys
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TypeVar

from featbank.base.amounts import format_duration
from featbank.base.notices import tell
from featbank.base.progress import Stopwatch, progress_bar
from featbank.errors import FeatbankError, InvalidConfigError
from featbank.files.locking import breaking_locks
from featbank.files.streams import guarded
from featbank.pipeline import choices  # noqa: F401 - the resolvers that conf/ refers to
from featbank.pipeline.chosen import PARAMS
from featbank.pipeline.chosen_options import check_choices
from featbank.pipeline.composition.composed import name_of
from featbank.pipeline.composition.entering import entered_through_hydra
from featbank.pipeline.next_steps import told_kept, told_next
from featbank.pipeline.sections import Knobs

_log = logging.getLogger(__name__)

Config = TypeVar("Config", bound=Knobs)


def stage(kind: type[Config]) -> Callable[[Callable[[Config], None]], Callable[[], None]]:
    """Make a function a stage, whose configuration Hydra composes and its schema checks.

    It ends with exit status 1 on an error of ours or of Hydra's, told in one line, or in one for
    each fault of the configuration.

    Args:
        kind: the schema.
    """
    return lambda function: entered_through_hydra(_with_clear_errors(function), kind)


def _with_clear_errors(
    function: Callable[[Config], None],
) -> Callable[[Callable[[], Config]], None]:
    @functools.wraps(function)
    def run(read: Callable[[], Config]) -> None:
        config: Config | None = None
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            if PARAMS.exists():
                check_choices()  # first: what conf/ makes of wrong ones needs no telling
            config = read()
            with breaking_locks() if config.break_lock else nullcontext():
                _show(function, config)
        except InvalidConfigError as error:
            for one in error.faults:
                _log.error("ConfigError: %s", one)
            sys.exit(1)
        except (FeatbankError, OSError) as error:
            _log.error("%s: %s", type(error).__name__, error)
            sys.exit(1)
        except KeyboardInterrupt:
            _log.error("interrupted; what was there before is as it was")
            if kept := told_kept(config):
                _log.error("%s", kept)
            sys.exit(130)

    return run


def _show(function: Callable[[Config], None], config: Config) -> None:
    """Run a stage, telling what it waits for from its first second, and at its end what to do."""
    # imported here: what a stage makes does not depend on it
    from featbank.pipeline.dvc_outputs import is_run_by_dvc

    name, watch = name_of(type(config)), Stopwatch()
    with progress_bar(name, show=config.runtime.progress):
        tell(phase="loading libraries")
        _drop_what_dvc_has(config.runtime.work)
        function(config)
    if getattr(config, "forecast", False):
        return
    _log.info("%s: done in %s", name, format_duration(watch.seconds))
    if not is_run_by_dvc():  # which goes on by itself
        with suppress(FeatbankError):  # params.yaml may be another by now: what was made stands
            for line in told_next(config):
                _log.info("%s", line)


def _drop_what_dvc_has(work: Path) -> None:
    """Remove the work of stages that ran before this one, whose outputs DVC has taken in."""
    # imported here: what a stage makes does not depend on them
    from featbank.engine.work import drop_published
    from featbank.pipeline.dvc_outputs import is_cached

    drop_published(work, is_safe=is_cached)


def run_script(main: Callable[[], None]) -> None:
    """Run a stage by its command line: the last line of each script."""
    with guarded():
        main()


def _interrupt(_signal: int, _frame: object) -> None:
    """End as Ctrl-C does: what is unfinished is cleared away."""
    raise KeyboardInterrupt
