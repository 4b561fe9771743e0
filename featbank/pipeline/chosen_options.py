"""Check of the choices of params.yaml against the files of conf/ that they name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from featbank.base.nearest import did_you_mean
from featbank.errors import ConfigError, InvalidConfigError
from featbank.pipeline.choices import formed_choices
from featbank.pipeline.chosen import PARAMS, Choices
from featbank.pipeline.composition.composed import CONF, options_in
from featbank.pipeline.composition.conf_files import read_yaml
from featbank.pipeline.composition.plain import as_typed
from featbank.pipeline.definitions import stored_names
from featbank.tokenizers.tokenized import feature_of_tokens


def check_choices() -> None:
    """Refuse choices of params.yaml that have another form, or point at nothing.

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
        if name not in options_in(group)
    ]
    return [
        *choices.faults(),
        *missing,
        *_typed_faults(choices),
        *_stored_faults(choices),
        *_codebook_faults(choices),
        *_sample_faults(choices),
    ]


def _stored_faults(choices: Choices) -> Iterator[ConfigError]:
    """Give entries of features that their definition does not store."""
    for where, one in choices.entries:
        if names := stored_names(one.feature):
            try:
                feature_of_tokens(one.stored, one.feature, names)
            except ConfigError as error:
                what = f"{PARAMS}: {where}.stored"
                yield ConfigError(what, expected=error.expected, got=error.got)


def _typed_faults(choices: Choices) -> Iterator[ConfigError]:
    """Give names that a stage's command line would take for a number, a truth or nothing."""
    for what, names in {**choices.options, "fit_on": choices.samples_named}.items():
        for name in dict.fromkeys(names):
            read = as_typed(name)
            if not isinstance(read, str):
                yield ConfigError(
                    f"{PARAMS}: {what} {name}",
                    expected="a name that is text on a command line",
                    got=f"what Hydra reads as {read!r}",
                    hint="rename it, with a letter in front",
                )


def _codebook_faults(choices: Choices) -> Iterator[ConfigError]:
    """Give tokens that name another codebook than their tokenizer uses: DVC would watch that."""
    for one in choices.all_tokens:
        file = CONF / "tokenizer" / f"{one.tokenizer}.yaml"
        there = one.tokenizer in options_in("tokenizer")
        definition = read_yaml(file) if there else None
        said = definition.get("codebook") if isinstance(definition, dict) else None
        named = str(said).replace("${tokenizer.name}", one.tokenizer)
        if isinstance(said, str) and named != one.codebook:
            yield ConfigError(
                f"{PARAMS}: tokens {one.name}: codebook",
                expected=f"{named}, as {file} has it",
                got=one.codebook,
            )


def _sample_faults(choices: Choices) -> Iterator[ConfigError]:
    """Give codebooks whose sample has a list of a corpus that is not sampled for it.

    A list that is not there yet is no fault: it is drawn with the choices as they are.
    """
    for name, fit in choices.codebooks.items():
        folder = CONF / "sample" / fit.fit_on
        joined = {path.stem for path in folder.glob("*.txt")}
        sampled = {
            one.corpus
            for one in choices.all_samples
            if (one.fit_on, one.feature) == (fit.fit_on, fit.feature)
        }
        if sampled and joined - sampled:
            told = ", ".join(sorted(joined))
            yield ConfigError(
                f"{PARAMS}: codebooks.{name}: sample {fit.fit_on} of {fit.feature}",
                expected=f"an entry of samples for each list in {folder}: {told}",
                got=", ".join(sorted(sampled)),
            )


def _no_option(group: str, name: str) -> ConfigError:
    known = options_in(group)
    return ConfigError(
        f"{PARAMS}: {group} {name}",
        expected=f"a file {CONF / group}/{name}.yaml",
        got="none",
        hint=did_you_mean(name, known, f"there are {', '.join(known)}"),
    )
