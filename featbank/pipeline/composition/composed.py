"""Configurations of stages, composed by Hydra and validated by their schemas."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from featbank.errors import ConfigError, InvalidConfigError
from featbank.pipeline.components import component_faults
from featbank.pipeline.composition.conf_files import CheckedFiles, read_option
from featbank.pipeline.composition.plain import plain_values
from featbank.pipeline.composition.surroundings import surroundings_in
from featbank.pipeline.conf_comments import option_comments
from featbank.pipeline.configs import CONFIGS
from featbank.pipeline.described import Described
from featbank.pipeline.faults import Fault, Origin, validated
from featbank.pipeline.sections import Knobs

Config = TypeVar("Config", bound=Knobs)

CONF = Path("conf")
"""The definitions, read from the folder the stage is run in."""

NAMED_GROUPS = ("corpus", "feature", "tokenizer")
"""The groups of conf/ whose options name outputs."""


_NAMING = {"sample": ("fit_on", "stored"), "fit": ("fit_on", "stored"), "tokenize": ("stored",)}
"""Keys by which a stage names its output, as by an option of a named group."""


def read_config(kind: type[Config], config: DictConfig) -> Config:
    """Return the validated configuration of the stage that is run.

    Raises:
        InvalidConfigError: all that is wrong with it.
    """
    hydra = HydraConfig.get()
    return _checked(kind, config, name_of(kind), chosen_groups(), hydra.overrides.task)


def composed_stage(
    kind: type[Config],
    options: Mapping[str, str],
    *,
    but: Sequence[str] = (),
    values: Mapping[str, str] = MappingProxyType({}),
) -> Config:
    """Compose another stage than the one that is run, with what is typed for that one.

    Args:
        kind: its schema.
        options: of conf/, by group.
        but: keys whose values are typed for the stage at hand alone.
        values: by key, of that stage alone.

    Raises:
        InvalidConfigError: all that is wrong with it.
    """
    stage = name_of(kind)
    typed = [
        text for text in HydraConfig.get().overrides.task if key_of(text).split(".")[0] not in but
    ]
    typed += [f"{key}={one}" for key, one in values.items()]
    config = _composed(stage, [*typed, *(f"{group}={one}" for group, one in options.items())])
    return _checked(kind, config, stage, {**chosen_groups(), **options}, typed)


def stage_faults(kind: type[Knobs], options: Mapping[str, str]) -> Sequence[ConfigError]:
    """Return all faults of a stage's configuration in conf/ and params.yaml, without running it.

    Args:
        kind: its schema.
        options: of conf/, by group.
    """
    found: list[ConfigError] = []
    with _composing(found):
        composed, groups = compose_alone(kind, options)
        found += _all_checked(kind, composed, groups)
    return found


def option_faults(
    kind: type[Knobs],
    options: Mapping[str, str],
    group: str,
    *,
    built: Collection[str] | None = None,
) -> Iterator[ConfigError]:
    """Yield all faults of the options of a group of conf/, without running a stage.

    Args:
        kind: the schema of a stage that reads all of such an option.
        options: of conf/, by group, to compose that stage with.
        group: of the options.
        built: those whose classes are imported, to hold arguments against them; None for all.
    """
    with _composing([]):  # what is wrong with these, `stage_faults` tells
        composed, groups = compose_alone(kind, options)
        for file in sorted((CONF / group).glob("*.yaml")):
            found: list[ConfigError] = []
            with _composing(found):
                said = read_option(CONF, f"{group}/{file.stem}")
                if "defaults" in said:  # which Hydra alone can follow
                    found += stage_faults(kind, {**options, group: file.stem})
                    continue
                if group in NAMED_GROUPS and said.get("name", file.stem) != file.stem:
                    # two options of one name would take turns at one output
                    found.append(ConfigError("name", expected=file.stem, got=repr(said["name"])))
                with open_dict(composed):
                    composed[group] = said
                check = _all_checked if built is None or file.stem in built else _values_checked
                found += check(kind, composed, {**groups, group: file.stem})
            for one in found:
                if str(file) in str(one):
                    yield one
                elif one.what == "name" or one.what.startswith(group):
                    yield _placed(one, file)


def _placed(error: ConfigError, file: Path) -> ConfigError:
    return ConfigError(
        f"{error.what} in {file}", expected=error.expected, got=error.got, hint=error.hint
    )


@contextmanager
def _composing(found: list[ConfigError]) -> Iterator[None]:
    """Take up what is wrong with what is composed, in place of raising it."""
    try:
        yield
    except InvalidConfigError as error:
        found += error.faults
    except ConfigError as error:
        found.append(error)
    except SystemExit as error:  # of a choice that is none
        found.append(ConfigError(str(error).removeprefix("ConfigError: ")))
    except (OmegaConfBaseException, HydraException) as error:
        found.append(_in_one_line(error))


def compose_alone(
    kind: type[Knobs], options: Mapping[str, str]
) -> tuple[DictConfig, dict[str, str]]:
    """Compose a stage that is not run; return the options of conf/, too, by group."""
    CheckedFiles.install()
    GlobalHydra.instance().clear()
    # quoted, for Hydra reads 1e3 as a number, and ends with an error of Python's
    overrides = [f"{group}='{option}'" for group, option in options.items()]
    with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        composed = compose(name_of(kind), overrides, return_hydra_config=True)
    groups = _groups(composed.hydra.runtime.choices)
    with open_dict(composed):
        del composed["hydra"]
    return composed, groups


def name_of(kind: type[Knobs]) -> str:
    """Return the name of the stage that a schema belongs to."""
    return next(name for name, one in CONFIGS.items() if one is kind)


def typed_values(kind: type[Knobs]) -> list[str]:
    """Return the values typed by hand, where outputs then differ from those of the definitions.

    Raises:
        ConfigError: a definition has another name than its file: two of one name would take turns
            at one output.
    """
    hydra, groups, stage = HydraConfig.get(), chosen_groups(), name_of(kind)
    naming = [text for text in hydra.overrides.task if key_of(text) in _NAMING.get(stage, ())]
    defined = _composed(
        stage, [*(f"{group}={option}" for group, option in groups.items()), *naming]
    )
    for group in NAMED_GROUPS:
        if group in groups and defined[group].name != groups[group]:
            raise ConfigError(
                f"name in {CONF / group / groups[group]}.yaml",
                expected=groups[group],
                got=repr(defined[group].name),
            )
    [source] = [entry.path for entry in hydra.runtime.config_sources if entry.provider == "main"]
    elsewhere = Path(source).resolve() != CONF.resolve()
    composed = _composed(stage, list(hydra.overrides.task))
    if not elsewhere and _bytes_part(kind, defined) == _bytes_part(kind, composed):
        return []
    typed = [text for text in hydra.overrides.task if key_of(text) not in groups]
    return [*typed, f"the definitions in {source}"] if elsewhere else typed


def typed_here() -> list[str]:
    """Return the values that were typed for the stage that is run, as they were typed."""
    return list(HydraConfig.get().overrides.task)


def chosen_groups() -> dict[str, str]:
    """Return the options of conf/ that are composed, by group."""
    return _groups(HydraConfig.get().runtime.choices)


def options_in(group: str) -> Sequence[str]:
    """Return the names of the options of a group of conf/."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def comments_of(options: Mapping[str, str]) -> Mapping[str, str]:
    """Return what the files of options of conf/ say of their keys, by dotted name.

    Args:
        options: by group. What cannot be read has no comments.
    """
    found: dict[str, str] = {}
    for group, option in options.items():
        with suppress(OSError, ValueError, yaml.YAMLError):
            comments = option_comments(CONF / group / f"{option}.yaml")
            found |= {f"{group}.{key}": text for key, text in comments.items()}
    return found


def key_of(override: str) -> str:
    """Return the key of a typed override: corpus.name of +corpus.name=demo."""
    return override.lstrip("+~").split("=")[0]


def _composed(stage: str, overrides: list[str]) -> DictConfig:
    try:
        return compose(stage, overrides)
    except (OmegaConfBaseException, HydraException) as error:
        raise _in_one_line(error) from error


def _in_one_line(error: Exception) -> ConfigError:
    return ConfigError((str(error).splitlines() or [type(error).__name__])[0])


def _groups(choices: Mapping[str, str]) -> dict[str, str]:
    return {group: option for group, option in choices.items() if "hydra" not in group}


def _checked(
    kind: type[Config],
    config: DictConfig,
    stage: str,
    groups: Mapping[str, str],
    typed: Sequence[str],
) -> Config:
    values, faults = plain_values(config)
    for group in NAMED_GROUPS:
        if group in config and group in Described.of(kind).keys:
            faults += surroundings_in(config, group)
            if group not in groups:
                several = ConfigError(group, expected="one option", got="several")
                faults.append(Fault(place=group, error=several))
    return validated(kind, values, origin_of(stage, groups, typed), faults)


def _all_checked(
    kind: type[Knobs], config: DictConfig, groups: Mapping[str, str]
) -> Sequence[ConfigError]:
    """Check a stage that is not run, what its components are given included."""
    stage = name_of(kind)
    checked = _checked(kind, config, stage, groups, ())
    origin = origin_of(stage, groups, ())
    return list(component_faults(checked, origin, checked.trusted_modules))


def _values_checked(
    kind: type[Knobs], config: DictConfig, groups: Mapping[str, str]
) -> Sequence[ConfigError]:
    """Check the values of a stage that is not run; no class that it names is imported."""
    _checked(kind, config, name_of(kind), groups, ())
    return ()


def origin_of(stage: str, groups: Mapping[str, str], typed: Iterable[str]) -> Origin:
    """Return where the values of a stage come from: options by group, and what is typed."""
    return Origin(
        stage=stage,
        files={group: CONF / group / f"{option}.yaml" for group, option in groups.items()},
        typed={key_of(text): text for text in typed},
        groups=NAMED_GROUPS,
        conf=CONF,
    )


def _bytes_part(kind: type[Knobs], config: DictConfig) -> dict[str, object]:
    """Return the values as they are written, but those that change no byte."""
    values = OmegaConf.to_container(config)
    assert isinstance(values, dict)
    for key in {"fit_on", "stored"} & values.keys():  # which params.yaml says, if nobody types it
        values[str(key)] = config[key]
    schema = Described.of(kind)
    knobs = {key for key in schema.keys if (inner := schema.at([key])) and inner.is_knob}
    return {str(key): value for key, value in values.items() if key not in knobs}
