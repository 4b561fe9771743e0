"""What to do after a stage that was typed by hand, and what is kept of one that was stopped."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from featbank.pipeline.choices import read_choices
from featbank.pipeline.chosen import PARAMS, Choices, CodebookChoice, SampleChoice, TokenChoice
from featbank.pipeline.composition.composed import chosen_groups, key_of, typed_here
from featbank.pipeline.configs import (
    CONFIGS,
    CorpusConfig,
    ExtractConfig,
    FitConfig,
    PrepareConfig,
    ReportConfig,
    SampleConfig,
    StabilityConfig,
    TokenizeConfig,
    ValidateConfig,
)
from featbank.pipeline.described import Described
from featbank.pipeline.sections import Knobs

_OF_ONE_RUN = frozenset(
    ["break_lock", "fetch", "forecast", "only", "overwrite", "pin", "push", "push_remote", "source"]
)
"""Keys that are typed for one run, and not for the stages behind it."""

_CORPUS, _OPTIONS = "corpus", ("feature", "tokenizer")
_NAMED = frozenset([_CORPUS, *_OPTIONS, "stored", "fit_on", *_OF_ONE_RUN])
"""Keys that each command states for itself, where it needs them."""


def told_next(config: Knobs) -> Iterator[str]:
    """Yield lines that say what to do after a stage: what to type, and what to look at.

    Args:
        config: of the stage, which is done.
    """
    if isinstance(config, ValidateConfig | ReportConfig) and getattr(config, "only", None) is None:
        yield f"next: open {Path(config.paths.report, 'report.html')} in a browser"
        return
    if isinstance(config, ExtractConfig) and not config.push:
        yield f"look: featbank info {shlex.quote(str(config.paths.features))}"
    if isinstance(config, TokenizeConfig):
        yield f"look: featbank info {shlex.quote(str(config.paths.tokens))}"
    root = getattr(getattr(config, "paths", None), "root", None)
    if root is None or not PARAMS.exists():
        return
    steps = _Steps(
        choices=read_choices(),
        root=root,
        corpus=config.corpus.name if isinstance(config, CorpusConfig) else None,
        typed=typed_here(),
    )
    if (step := _after(config, steps)) is None:
        return
    yield f"next: {step}"
    if Path("dvc.yaml").exists() and steps.are_as_chosen:
        yield "or, for all that is left: dvc repro"


def told_kept(config: Knobs | None) -> str:
    """Say what is kept of a stage that was stopped, and what the same command then does.

    Nothing where the engine has said how much it keeps in its work folder.
    """
    if isinstance(config, PrepareConfig):
        return "what was found of files is kept: the same command goes on with the others"
    if isinstance(config, FitConfig):
        return "finished passes are kept: the same command goes on behind them"
    from_audio = isinstance(config, SampleConfig | TokenizeConfig) and config.source == "audio"
    if isinstance(config, ExtractConfig) or from_audio:
        return ""  # the work folder has said it
    return "the same command begins anew"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Steps:
    """The stages of the chosen pipeline, as they are typed for a corpus.

    Args:
        choices: of params.yaml.
        root: folder of all outputs.
        corpus: its name; None for the first that is chosen.
        typed: for the stage that is done.
    """

    choices: Choices
    root: Path
    corpus: str | None
    typed: Sequence[str]

    @property
    def is_chosen(self) -> bool:
        """Whether the corpus is one of params.yaml."""
        return self.of_corpus in self.choices.corpora

    @property
    def are_as_chosen(self) -> bool:
        """Whether `dvc repro` would make the same: nothing but options of conf/ is typed."""
        return self.is_chosen and all(key_of(text) in _NAMED for text in self.typed)

    @property
    def of_corpus(self) -> str:
        """Name of the corpus."""
        return self.corpus or self.choices.corpora[0]

    def extract(self, feature: str) -> str:
        """Return how features are extracted."""
        return self._type("extract", feature=feature)

    def sample(self, one: SampleChoice) -> str:
        """Return how a sample is made."""
        return self._type(
            "sample",
            source=self._source(one in self.choices.samples_from_audio.values()),
            corpus=one.corpus,
            **self._stored(one.feature, one.stored),
            **_unless(self.choices.sampled_as(one.corpus, one.stored), fit_on=one.fit_on),
        )

    def fit(self, one: CodebookChoice) -> str:
        """Return how a codebook is fitted."""
        by_default = self.choices.fitted_on(one.feature, one.stored, one.codebook, one.codebook)
        return self._type(
            "fit",
            **self._stored(one.feature, one.stored),
            tokenizer=one.codebook,
            **_unless(by_default, fit_on=one.fit_on),
        )

    def tokenize(self, one: TokenChoice) -> str:
        """Return how tokens are made."""
        by_default = self.choices.fitted_on(one.feature, one.stored, one.tokenizer, one.codebook)
        return self._type(
            "tokenize",
            source=self._source(one in self.choices.tokens_from_audio),
            **self._stored(one.feature, one.stored),
            tokenizer=one.tokenizer,
            **_unless(by_default, fit_on=one.fit_on),
        )

    def rest(self) -> str:
        """Return the first stage that has made nothing yet; else the check of everything."""
        return next(self._lacking(), self.validate())

    def validate(self) -> str:
        """Return how all that is chosen is checked, and the report written."""
        return self._type("validate")

    def lacking_of(self, feature: str) -> str | None:
        """Return the first stage that lacks of those that need a feature."""
        return next(self._lacking(feature), None)

    def _lacking(self, feature: str | None = None) -> Iterator[str]:
        """Give the stages that have made nothing yet, in the order of the pipeline."""
        for made_of, output, command in self._outputs():
            if feature in (None, made_of) and not (self.root / output).exists():
                yield command
        stability = self.root / "stability" / self.of_corpus
        chosen = [stability / f"{name}.json" for name in self.choices.stores]
        if feature is None and not all(path.exists() for path in chosen):
            yield self._type("stability")

    def _outputs(self) -> Iterator[tuple[str, str, str]]:
        """Give each output: the feature that it is made of, its place, and what makes it."""
        for name in self.choices.features:
            yield name, f"features/{self.of_corpus}/{name}", self.extract(name)
        for sample in self.choices.all_samples:
            place = f"samples/{sample.fit_on}/{sample.stored}/{sample.corpus}"
            yield sample.feature, place, self.sample(sample)
        for one in self.choices.codebooks.values():
            place = f"codebooks/{one.fit_on}/{one.stored}-{one.codebook}.safetensors"
            yield one.feature, place, self.fit(one)
        for tokens in self.choices.all_tokens:
            yield tokens.feature, f"tokens/{self.of_corpus}/{tokens.name}", self.tokenize(tokens)

    def _stored(self, feature: str, stored: str) -> dict[str, str | None]:
        return {"feature": feature, **_unless(self.choices.stored_of(feature), stored=stored)}

    def _source(self, from_audio: bool) -> str | None:
        return "audio" if from_audio else None

    def _type(self, stage: str, **values: str | None) -> str:
        """Return the command of a stage, with what was typed that it reads, too."""
        keys = set(Described.of(CONFIGS[stage]).keys)
        if _CORPUS in keys and values.get(_CORPUS) is None:
            values[_CORPUS] = chosen_groups().get(_CORPUS)
        if values.get(_CORPUS) == self.choices.corpora[0]:  # as without a word
            values[_CORPUS] = None
        typed = [
            text
            for text in self.typed
            if key_of(text) not in _NAMED
            and key_of(text).split(".")[0] in keys.difference(_OPTIONS)
        ]
        chosen = [f"{key}={one}" for key, one in values.items() if one is not None]
        return shlex.join(["python", f"stages/{stage}.py", *chosen, *typed])


def _unless(by_default: str, **value: str) -> dict[str, str | None]:
    """Return a value, or None in its place where it is the default."""
    return {key: None if one == by_default else one for key, one in value.items()}


def _after(config: Knobs, steps: _Steps) -> str | None:
    """Return what is typed after a stage; None where nothing follows."""
    choices = steps.choices
    if isinstance(config, PrepareConfig):
        features = [*choices.features, *(one.feature for one in choices.all_tokens)]
        return steps.extract(features[0]) if features else None
    if not steps.is_chosen:
        return None
    if isinstance(config, ExtractConfig):
        name = config.feature.name
        return steps.lacking_of(name) or steps.rest() if name in choices.features else None
    if isinstance(config, SampleConfig):
        of = config.fit_on, config.feature.name, config.stored
        samples = [
            one for one in choices.all_samples if (one.fit_on, one.feature, one.stored) == of
        ]
        codebooks = [one for one in choices.codebooks.values() if one.fitted[:3] == of]
        if config.pin:
            return steps.sample(samples[0]) if samples else None
        left = steps.lacking_of(config.feature.name)  # a sample of another corpus, it may be
        return left or (steps.fit(codebooks[0]) if codebooks else None)
    if isinstance(config, FitConfig):
        by = config.fit_on, config.feature.name, config.stored, config.tokenizer.name
        tokens = [one for one in choices.all_tokens if one.fitted == by]
        return steps.tokenize(tokens[0]) if tokens else steps.rest()
    if isinstance(config, TokenizeConfig):
        return steps.rest()
    return steps.validate() if isinstance(config, StabilityConfig | ValidateConfig) else None
