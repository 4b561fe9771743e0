"""What the stage scripts share: resolvers, errors without tracebacks, the guard of outputs."""

from __future__ import annotations

import functools
import logging
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from featbank.base.progress import Stopwatch
from featbank.base.trusted import check_name
from featbank.errors import ConfigError, FeatbankError
from featbank.files.json_files import read_json
from featbank.files.locking import breaking_locks
from featbank.files.opening import instead_of_file
from featbank.files.provenance import readable_json, write_atomic
from featbank.files.streams import guarded
from featbank.pipeline.composed import (
    CONF,
    check_config,
    chosen_groups,
    composed_again,
    in_one_line,
    key_of,
)
from featbank.pipeline.composing import entered_through_hydra
from featbank.pipeline.conf_files import read_yaml
from featbank.pipeline.definitions import NAMED_GROUPS

_log = logging.getLogger(__name__)

PARAMS = Path("params.yaml")
"""The choices, read from the folder the stage is run in."""

RUNTIME_KEYS = (
    "runtime",
    "runner",
    "numerics",
    "device",
    "batch_s",
    "break_lock",
    "overwrite",
    "source",
    "trusted_modules",
    "only",
    "strict",
    "recompute",
    "certificate",
    "preflight",
)
"""Top-level configuration that changes no byte of an output, at most which ones are made.

But for the device and batch_s: they choose the numerics class, as the machine does.
"""

_MOST_HOURS = 1e9

_TOKEN_CHOICES = ("tokens", "tokens_from_audio")


def params(key: str) -> Any:
    """Resolve `${params:key}`: a choice of params.yaml.

    Steps are separated by dots; a number picks by order, from a list or a mapping.

    Raises:
        ConfigError: there is no params.yaml here, or no such choice in it.
    """
    if (got := instead_of_file(PARAMS)) is not None:
        raise ConfigError(
            f"{PARAMS} in {Path.cwd()}",
            expected="a file",
            got=got,
            hint="run from the root of the project",
        )
    node = OmegaConf.to_container(read_yaml(PARAMS))
    for step in key.split("."):
        try:
            if isinstance(node, dict):
                node = list(node.values())[int(step)] if step.isdigit() else node[step]
            else:
                node = node[int(step)]  # type: ignore[index]
        except (KeyError, IndexError, ValueError, TypeError) as error:
            option = {"features.0": "feature"}.get(key, key.rpartition(".")[2])
            raise ConfigError(
                f"{PARAMS}: {key}",
                expected="a choice",
                got=f"no {step!r}",
                hint=f"add it there, or type {option}=..." if "." in key else "add it there",
            ) from error
    return node


def stage(
    config_name: str,
) -> Callable[[Callable[[DictConfig], None]], Callable[[], None]]:
    """Make a function a stage, which Hydra configures.

    It ends with one clear line and exit status 1 on an error of ours or of Hydra's.

    Args:
        config_name: of the file in conf/ that is its configuration.
    """
    return lambda function: entered_through_hydra(_with_clear_errors(function), config_name)


def _with_clear_errors(function: Callable[[DictConfig], None]) -> Callable[[DictConfig], None]:
    @functools.wraps(function)
    def run(config: DictConfig) -> None:
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            check_config(config)
            with breaking_locks() if config.break_lock else nullcontext():
                _drop_what_dvc_has(Path(config.runtime.work))
                function(config)
        except (FeatbankError, OSError) as error:
            _log.error("%s: %s", type(error).__name__, error)
            sys.exit(1)
        except (OmegaConfBaseException, HydraException) as error:
            _log.error("ConfigError: %s", in_one_line(error))
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


def refuse_tracked(config: DictConfig, out: str | Path, *, hint: str = _OWN_NAME) -> None:
    """Refuse values typed by hand for an output that DVC tracks under the same name.

    What DVC tracks holds what the definitions in conf/ say; another content needs another name.

    Args:
        config: of the stage.
        out: what it is about to write.
        hint: what else to type.

    Raises:
        ConfigError: `out` is tracked, and a value differs from its definition.
    """
    hydra = HydraConfig.get()
    groups = chosen_groups()
    typed = [text for text in hydra.overrides.task if key_of(text) not in groups]
    [source] = [entry.path for entry in hydra.runtime.config_sources if entry.provider == "main"]
    if Path(source).resolve() != CONF.resolve():
        typed.append(f"the definitions in {source}")
    defined = composed_again(groups)
    for group in NAMED_GROUPS:
        if group in groups and defined[group].name != groups[group]:
            # two options of one name would take turns at one output
            raise ConfigError(
                f"name in {CONF / group / groups[group]}.yaml",
                expected=groups[group],
                got=repr(defined[group].name),
            )
    same = _bytes_part(defined) == _bytes_part(config) and Path(source).resolve() == CONF.resolve()
    if same or not _tracked(Path(out)):
        return
    raise ConfigError(
        f"{out} is tracked by DVC",
        expected="the values of its definition in conf/",
        got=" ".join(typed),
        hint=f"{hint}, or change the definition and run dvc repro",
    )


def check_source(config: DictConfig) -> str:
    """Return `source`: what a stage that works on features begins with.

    Raises:
        ConfigError: it is neither features nor audio.
    """
    source: str = config.source
    if source not in ("features", "audio"):
        raise ConfigError("source", expected="features or audio", got=source)
    return source


def chosen_stores() -> list[str]:
    """Return what params.yaml chooses: `features/<feature>` and `tokens/<feature>-<tokenizer>`.

    Raises:
        ConfigError: the choices have another form.
    """
    features = params("features") or []
    if not isinstance(features, list):
        raise ConfigError(f"{PARAMS}: features", expected="a list: [fbank, mfcc]", got=features)
    return [
        *(f"features/{check_name(one, f'{PARAMS}: features')}" for one in features),
        *(f"tokens/{choice}" for group in _TOKEN_CHOICES for choice in _chosen_tokens(group)),
    ]


def kind_and_option(name: str) -> tuple[str, str]:
    """Split the name of a choice, which may be typed: `features/fbank` or `tokens/mfcc-kmeans100`.

    Raises:
        ConfigError: it has another form.
    """
    kind, _, option = name.partition("/")
    if kind not in ("features", "tokens"):
        raise ConfigError("only", expected="features/NAME or tokens/NAME", got=name)
    return kind, check_name(option, "only")


def _chosen_tokens(group: str) -> Iterator[str]:
    tokens = params(group) or {}
    if not isinstance(tokens, dict):
        raise ConfigError(f"{PARAMS}: {group}", expected="entries by stage name", got=tokens)
    for stage_name, choice in tokens.items():
        if not isinstance(choice, dict) or set(choice) != {"feature", "tokenizer"}:
            raise ConfigError(
                f"{PARAMS}: {group}.{stage_name}", expected="a feature and a tokenizer", got=choice
            )
        where = f"{PARAMS}: {group}.{stage_name}"
        yield "-".join(check_name(choice[key], where) for key in ("feature", "tokenizer"))


def record_run(
    config: DictConfig, name: str, watch: Stopwatch, audio_s: float, **counts: float
) -> None:
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


def _bytes_part(config: DictConfig) -> dict[Any, Any]:
    values = OmegaConf.to_container(config)
    assert isinstance(values, dict)
    return {key: value for key, value in values.items() if key not in RUNTIME_KEYS}


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


def _resolve_params(key: str) -> Any:
    try:
        found = params(key)
        if key != "seed" and not isinstance(found, str):  # it chooses an option of conf/
            raise ConfigError(f"{PARAMS}: {key}", expected="a name", got=repr(found))
        return found
    except ConfigError as error:
        # Hydra composes defaults with every exception hidden behind "error resolving interpolation"
        raise SystemExit(f"ConfigError: {error}") from error


OmegaConf.register_new_resolver("params", _resolve_params, replace=True)
