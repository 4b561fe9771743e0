"""What the stage scripts share: resolvers, errors without tracebacks, the guard of outputs."""

from __future__ import annotations

import functools
import logging
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar

from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from featbank.base.progress import Stopwatch
from featbank.errors import ConfigError, FeatbankError, InvalidConfigError
from featbank.files.json_files import read_json
from featbank.files.locking import breaking_locks
from featbank.files.provenance import readable_json, write_atomic
from featbank.files.streams import guarded
from featbank.pipeline import choices as _choices  # noqa: F401 - and with it the resolvers of conf/
from featbank.pipeline.composed import name_of, read_config, typed_values
from featbank.pipeline.composing import entered_through_hydra
from featbank.pipeline.parts import Knobs

_log = logging.getLogger(__name__)

Config = TypeVar("Config", bound=Knobs)

_MOST_HOURS = 1e9


def stage(kind: type[Config]) -> Callable[[Callable[[Config], None]], Callable[[], None]]:
    """Make a function a stage, whose configuration Hydra composes and its schema checks.

    It ends with one clear line for each fault, and exit status 1, on an error of ours or of
    Hydra's.

    Args:
        kind: the schema.
    """
    return lambda function: entered_through_hydra(
        _with_clear_errors(kind, function), name_of(kind), kind
    )


def _with_clear_errors(
    kind: type[Config], function: Callable[[Config], None]
) -> Callable[[DictConfig], None]:
    @functools.wraps(function)
    def run(composed: DictConfig) -> None:
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            config = read_config(kind, composed)
            with breaking_locks() if config.break_lock else nullcontext():
                _drop_what_dvc_has(config.runtime.work)
                function(config)
        except InvalidConfigError as error:
            for one in error.faults:
                _log.error("ConfigError: %s", one)
            sys.exit(1)
        except (FeatbankError, OSError) as error:
            _log.error("%s: %s", type(error).__name__, error)
            sys.exit(1)
        except (OmegaConfBaseException, HydraException) as error:
            _log.error("ConfigError: %s", (str(error).splitlines() or [type(error).__name__])[0])
            sys.exit(1)
        except KeyboardInterrupt:
            _log.error("interrupted; what was there before is as it was")
            sys.exit(130)

    return run


def _drop_what_dvc_has(work: Path) -> None:
    """Remove the work of stages that ran before this one, whose outputs DVC has taken in."""
    # imported here: what a stage makes does not depend on them
    from featbank.engine.work import drop_published
    from featbank.pipeline.dvc_outputs import is_cached

    drop_published(work, is_safe=is_cached)


def run_script(main: Callable[[], None]) -> None:
    """Run a stage as its command line says: the last line of each script.

    `--break-lock` stands for `break_lock=true`, as flags are Hydra's own.
    """
    sys.argv[1:] = [
        "break_lock=true" if argument == "--break-lock" else argument for argument in sys.argv[1:]
    ]
    with guarded():
        main()


def accept_dry_run() -> None:
    """Let `--dry-run` stand for `preflight=true` on the command line, whose flags Hydra fixes."""
    sys.argv[1:] = [
        "preflight=true" if argument == "--dry-run" else argument for argument in sys.argv[1:]
    ]


def _interrupt(_signal: int, _frame: object) -> None:
    """End as Ctrl-C does: what is unfinished is cleared away."""
    raise KeyboardInterrupt


_OWN_NAME = (
    "give the new output a name of its own (corpus.name=..., feature.name=... or "
    "tokenizer.name=...)"
)


def refuse_tracked(config: Knobs, out: str | Path, *, hint: str = _OWN_NAME) -> None:
    """Refuse values typed by hand for an output that DVC tracks under the same name.

    What DVC tracks holds what the definitions in conf/ say; another content needs another name.

    Args:
        config: of the stage.
        out: what it is about to write.
        hint: what else to type.

    Raises:
        ConfigError: `out` is tracked, and a value differs from its definition.
    """
    typed = typed_values(type(config))
    if not typed or not _tracked(Path(out)):
        return
    raise ConfigError(
        f"{out} is tracked by DVC",
        expected="the values of its definition in conf/",
        got=" ".join(typed),
        hint=f"{hint}, or change the definition and run dvc repro",
    )


def record_run(config: Knobs, name: str, watch: Stopwatch, audio_s: float, **counts: float) -> None:
    """Keep how long a stage took on this machine for how much audio, and what else it counted."""
    fields = {"audio_s": audio_s, "seconds": watch.seconds, **counts}
    write_atomic(Path(config.runtime.records, f"{name}.json"), readable_json(fields))


def read_corpus(manifests: str | Path) -> dict[str, Any]:
    """Read the corpus.json beside the manifests.

    Raises:
        ConfigError: the corpus is not prepared, or its summary is damaged.
    """
    path = Path(manifests, "corpus.json")
    hint = f"run python stages/prepare.py corpus={path.parent.name}"
    summary = read_json(path, what="corpus summary", error=ConfigError, hint=hint)
    splits = summary.get("splits")
    if not (
        isinstance(summary.get("name"), str)
        and isinstance(summary.get("license"), str)
        and isinstance(splits, dict)
        and all(
            isinstance(split, dict) and _is_duration(split.get("hours"))
            for split in splits.values()
        )
    ):
        raise ConfigError(
            f"corpus summary {path}",
            expected="a name, a license, and splits with the hours of each",
            got="others",
            hint=hint,
        )
    return summary


def _is_duration(hours: object) -> bool:
    return isinstance(hours, int | float) and 0 <= hours < _MOST_HOURS


def audio_seconds(corpus: Mapping[str, Any]) -> float:
    """Return the seconds of audio in all splits of a corpus summary."""
    return 3600 * sum(float(split["hours"]) for split in corpus["splits"].values())


def _tracked(path: Path) -> bool:
    # imported here: it takes a second, and only values typed by hand need it
    from dvc.exceptions import DvcException, NotDvcRepoError

    from featbank.pipeline.dvc_outputs import dvc_project

    target = path.resolve()
    try:
        with dvc_project() as repo:
            outs = [Path(out.fs_path).resolve() for out in repo.index.outs]
    except NotDvcRepoError:
        return False
    except DvcException as error:
        raise ConfigError("dvc.yaml", expected="a pipeline that DVC reads", got=error) from error
    return any(target == out or out in target.parents or target in out.parents for out in outs)
