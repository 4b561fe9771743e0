"""What Hydra has composed for a stage, as its schema has it; beyond here there is no DictConfig."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from featbank.errors import ConfigError
from featbank.pipeline.configs import CONFIGS
from featbank.pipeline.described import Described
from featbank.pipeline.faults import Fault, Source, validated
from featbank.pipeline.parts import Knobs
from featbank.pipeline.plain import plain_values
from featbank.pipeline.surroundings import surroundings_in

Config = TypeVar("Config", bound=Knobs)

CONF = Path("conf")
"""The definitions, read from the folder the stage is run in."""

NAMED_GROUPS = ("corpus", "feature", "tokenizer")
"""The groups of conf/ whose options name outputs."""


_NAMING = {"sample": ("fit_on",), "fit": ("fit_on",)}
"""Keys by which a stage names its output, as by an option of a named group."""


def read_config(kind: type[Config], config: DictConfig) -> Config:
    """Return the configuration of the stage that is run, checked.

    Raises:
        InvalidConfigError: all that is wrong with it.
    """
    hydra = HydraConfig.get()
    return _checked(kind, config, name_of(kind), chosen_groups(), hydra.overrides.task)


def composed_stage(
    kind: type[Config], options: Mapping[str, str], *, but: Sequence[str] = ()
) -> Config:
    """Compose another stage than the one that is run, with what is typed for that one.

    Args:
        kind: its schema.
        options: of conf/, by group.
        but: keys whose values are typed for the stage at hand alone.

    Raises:
        InvalidConfigError: all that is wrong with it.
    """
    stage = name_of(kind)
    typed = [
        text for text in HydraConfig.get().overrides.task if key_of(text).split(".")[0] not in but
    ]
    config = compose(stage, [*typed, *(f"{group}={one}" for group, one in options.items())])
    return _checked(kind, config, stage, {**chosen_groups(), **options}, typed)


def name_of(kind: type[Knobs]) -> str:
    """Return the name of the stage that a schema is of."""
    return next(name for name, one in CONFIGS.items() if one is kind)


def typed_values(kind: type[Knobs]) -> list[str]:
    """Return what is typed, where the outputs that follow are not those of the definitions.

    Raises:
        ConfigError: a definition has another name than its file: two of one name would take turns
            at one output.
    """
    hydra, groups, stage = HydraConfig.get(), chosen_groups(), name_of(kind)
    naming = [text for text in hydra.overrides.task if key_of(text) in _NAMING.get(stage, ())]
    defined = compose(stage, [*(f"{group}={option}" for group, option in groups.items()), *naming])
    for group in NAMED_GROUPS:
        if group in groups and defined[group].name != groups[group]:
            raise ConfigError(
                f"name in {CONF / group / groups[group]}.yaml",
                expected=groups[group],
                got=repr(defined[group].name),
            )
    [source] = [entry.path for entry in hydra.runtime.config_sources if entry.provider == "main"]
    elsewhere = Path(source).resolve() != CONF.resolve()
    composed = compose(stage, list(hydra.overrides.task))
    if not elsewhere and _bytes_part(kind, defined) == _bytes_part(kind, composed):
        return []
    typed = [text for text in hydra.overrides.task if key_of(text) not in groups]
    return [*typed, f"the definitions in {source}"] if elsewhere else typed


def chosen_groups() -> dict[str, str]:
    """Return the options of conf/ that are composed, by group."""
    choices = HydraConfig.get().runtime.choices
    return {group: option for group, option in choices.items() if "hydra" not in group}


def key_of(override: str) -> str:
    """Return the key of what is typed: corpus.name of +corpus.name=demo."""
    return override.lstrip("+~").split("=")[0]


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
    source = Source(
        stage=stage,
        files={group: CONF / group / f"{option}.yaml" for group, option in groups.items()},
        typed={key_of(text): text for text in typed},
        groups=NAMED_GROUPS,
        conf=CONF,
    )
    return validated(kind, values, source, faults)


def _bytes_part(kind: type[Knobs], config: DictConfig) -> dict[str, object]:
    """Return the values as they are written, but those that change no byte."""
    values = OmegaConf.to_container(config)
    assert isinstance(values, dict)
    if "fit_on" in values:  # which params.yaml says, where nobody types it
        values["fit_on"] = config.fit_on
    schema = Described.of(kind)
    knobs = {key for key in schema.keys if (inner := schema.at([key])) and inner.is_knob}
    return {str(key): value for key, value in values.items() if key not in knobs}
