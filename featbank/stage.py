"""What the stage scripts share: resolvers, errors without tracebacks, the guard of outputs."""

from __future__ import annotations

import functools
import json
import logging
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from yaml import YAMLError

from featbank.definitions import NAMED_GROUPS, check_definition
from featbank.errors import ConfigError, FeatbankError
from featbank.progress import Stopwatch
from featbank.provenance import readable_json, write_atomic
from featbank.trusted import check_name, check_type

_log = logging.getLogger(__name__)

PARAMS = Path("params.yaml")
"""The choices, read from the folder the stage is run in."""

CONF = Path("conf")
"""The definitions, likewise."""

RUNTIME_KEYS = (
    "runtime",
    "runner",
    "numerics",
    "device",
    "batch_s",
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


_CHECKED_STEPS = {"corpus": 1, "runner": 1, "feature": 2, "tokenizer": 2}
"""How much of a typed key must be known; behind it are arguments, which classes check."""

_TOKEN_CHOICES = ("tokens", "tokens_from_audio")

_TYPES: dict[str, Any] = {
    "batch_s": float | None,
    "device": str,
    "hours": float,
    "max_failures": float,
    "max_s": float,
    "num_threads": int,
    "numerics": str,
    "only": str | None,
    "overwrite": bool,
    "pin": bool,
    "pins": str,
    "preflight": bool,
    "recompute": int,
    "seed": int,
    "source": str,
    "strict": bool,
    "utterances": int,
}

_SECTIONS: dict[str, Any] = {"certificate": float, "held_out": int, "paths": str, "runtime": str}
"""The type of what stands in a part of the configuration."""


def params(key: str) -> Any:
    """Resolve `${params:key}`: a choice of params.yaml.

    Steps are separated by dots; a number picks by order, from a list or a mapping.

    Raises:
        ConfigError: there is no params.yaml here, or no such choice in it.
    """
    if not PARAMS.is_file():
        raise ConfigError(
            f"{PARAMS} in {Path.cwd()}",
            expected="a file",
            got="nothing there",
            hint="run from the root of the project",
        )
    try:
        node = OmegaConf.to_container(OmegaConf.load(PARAMS))
    except YAMLError as error:
        raise ConfigError(str(PARAMS), expected="YAML", got=error) from error
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


def stage(function: Callable[[DictConfig], None]) -> Callable[[DictConfig], None]:
    """Make a stage end with one clear line and exit status 1 on an error of ours or of Hydra's."""

    @functools.wraps(function)
    def run(config: DictConfig) -> None:
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            _refuse_unknown()
            _check_values(config)
            _check_definitions(config)
            _drop_what_dvc_has(Path(config.runtime.work))
            function(config)
        except (FeatbankError, OSError) as error:
            _log.error("%s: %s", type(error).__name__, error)
            sys.exit(1)
        except (OmegaConfBaseException, HydraException) as error:
            _log.error("ConfigError: %s", _in_one_line(error))
            sys.exit(1)
        except KeyboardInterrupt:
            _log.error("interrupted; what was there before is as it was")
            sys.exit(130)

    return run


def _check_values(config: DictConfig) -> None:
    """Refuse values of another type, before any work begins.

    Raises:
        ConfigError: there is one.
    """
    for key, kind in _TYPES.items():
        if key in config:
            check_type(config[key], kind, key)
    for section, kind in _SECTIONS.items():
        if section not in config:
            continue
        values = config[section]
        if not isinstance(values, DictConfig):
            raise ConfigError(section, expected="values by name", got=repr(values))
        # paths as they are written: no stage has all that they name
        found: Any = OmegaConf.to_container(values, resolve=section != "paths")
        for key, value in found.items():
            check_type(value, bool | None if key == "progress" else kind, f"{section}.{key}")
    modules = plain(config.get("trusted_modules"))
    if not isinstance(modules, list) or not all(isinstance(name, str) for name in modules):
        raise ConfigError("trusted_modules", expected="a list: [yourpackage]", got=repr(modules))


def _check_definitions(config: DictConfig) -> None:
    """Refuse options that lack something, before any work begins.

    Raises:
        ConfigError: there is one, or several of a group are chosen.
    """
    for group in NAMED_GROUPS:
        if group in config:
            if group not in _chosen_groups():
                raise ConfigError(group, expected="one option", got="several")
            check_definition(config, group, _file(group))


def _in_one_line(error: Exception) -> ConfigError:
    """Say what Hydra or OmegaConf found wrong, by the key that it is about."""
    said = str(error).splitlines()[0]
    key = getattr(error, "full_key", None)
    if key is None:
        return ConfigError(said)
    if isinstance(error, (ConfigAttributeError, ConfigKeyError)):
        return ConfigError(str(key), expected="a value", got=f"none in {_file(key.split('.')[0])}")
    return ConfigError(str(key), expected="a value", got=said)


def _file(group: str) -> Path:
    """Return the file of conf/ that defines a group, or the one of the stage for what has none."""
    hydra = HydraConfig.get()
    option = hydra.runtime.choices.get(group)
    return CONF / (f"{hydra.job.config_name}.yaml" if option is None else f"{group}/{option}.yaml")


def _refuse_unknown() -> None:
    """Refuse a value typed with + for a key that the stage does not read, as Hydra advises.

    Raises:
        ConfigError: there is one.
    """
    hydra = HydraConfig.get()
    typed = {_key_of(text): text for text in hydra.overrides.task if text.startswith("+")}
    if not typed:
        return
    groups = {group: option for group, option in _chosen_groups().items() if group not in typed}
    defined = OmegaConf.to_container(_composed(groups))
    known = set(_dotted_keys(defined))
    for key, text in typed.items():
        steps = key.split(".")
        if ".".join(steps[: _CHECKED_STEPS.get(steps[0])]) in known:
            continue
        if steps[0] in NAMED_GROUPS and steps[0] not in known:
            raise ConfigError(
                text,
                expected=f"nothing of {steps[0]}, for {hydra.job.config_name} goes by the "
                f"definitions in conf/{steps[0]}",
                hint="write the value into one of its own there",
            )
        names = {name.rpartition(".")[2]: name for name in known}
        near = get_close_matches(steps[-1], names, n=1)
        raise ConfigError(
            text,
            expected=f"a value that {hydra.job.config_name} takes",
            got="an option that there is not",
            hint=f"did you mean {names[near[0]]}?" if near else "--help lists them",
        )


def _dotted_keys(node: Any, before: str = "") -> Iterator[str]:
    """Give the keys of a configuration at all depths: runner, runner.num_workers."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield f"{before}{key}"
            yield from _dotted_keys(value, f"{before}{key}.")


def _key_of(override: str) -> str:
    """Return the key of what is typed: corpus.name of +corpus.name=demo."""
    return override.lstrip("+~").split("=")[0]


def _chosen_groups() -> dict[str, str]:
    """Return the options of conf/ that are composed, by group."""
    choices = HydraConfig.get().runtime.choices
    return {group: option for group, option in choices.items() if "hydra" not in group}


def _composed(groups: Mapping[str, str]) -> DictConfig:
    """Compose the stage again, with these options and nothing else that is typed."""
    name = HydraConfig.get().job.config_name
    return compose(name, [f"{group}={option}" for group, option in groups.items()])


def _drop_what_dvc_has(work: Path) -> None:
    """Remove the work of stages that ran before this one, whose outputs DVC has taken in."""
    # imported here: what a stage makes does not depend on them
    from featbank.dvc_outputs import is_cached
    from featbank.engine.work import drop_published

    drop_published(work, is_safe=is_cached)


def accept_dry_run() -> None:
    """Let `--dry-run` stand for `preflight=true` on the command line, whose flags Hydra fixes."""
    sys.argv[1:] = [
        "preflight=true" if argument == "--dry-run" else argument for argument in sys.argv[1:]
    ]


def _interrupt(_signal: int, _frame: object) -> None:
    """End as Ctrl-C does: what is unfinished is cleared away."""
    raise KeyboardInterrupt


def plain(node: Any) -> Any:
    """Return a configuration node as plain values, interpolations resolved."""
    if not OmegaConf.is_config(node):
        return node
    return OmegaConf.to_container(node, resolve=True, throw_on_missing=True)


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
    groups = _chosen_groups()
    typed = [text for text in hydra.overrides.task if _key_of(text) not in groups]
    [source] = [entry.path for entry in hydra.runtime.config_sources if entry.provider == "main"]
    if Path(source).resolve() != CONF.resolve():
        typed.append(f"the definitions in {source}")
    defined = _composed(groups)
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
        *(f"features/{feature}" for feature in features),
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
        yield f"{choice['feature']}-{choice['tokenizer']}"


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
    if not path.is_file():
        raise ConfigError(
            f"corpus summary {path}", expected="a file", got="nothing there", hint=hint
        )
    try:
        summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(
            f"corpus summary {path}", expected="JSON", got=error, hint=hint
        ) from error
    return summary


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
    from dvc.repo import Repo

    target = path.resolve()
    try:
        with Repo() as repo:
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
