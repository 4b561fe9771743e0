"""The configuration of each stage: its keys, their types, units and help."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from featbank.pipeline.parts import (
    CodebookPaths,
    CorpusOption,
    FeatureOption,
    FeaturePaths,
    Knobs,
    Paths,
    SamplePaths,
    TokenizerOption,
    TokenPaths,
)
from featbank.pipeline.schema import (
    Choice,
    Component,
    Failures,
    Hours,
    Name,
    Seconds,
    Seed,
    Share,
    Source,
    Text,
    Threads,
    Utterances,
    knob,
    part,
    value,
)

RunnerOption = Annotated[Component, knob("what spreads the work over processes, jobs or actors")]
MaxFailures = Annotated[
    Failures, value("utterances that may fail: a number, or below 1 a share of them")
]
ThreadsOfAnUtterance = Annotated[
    Threads,
    value(
        "that compute an utterance; processes scale better, and another number changes last bits"
    ),
]
ForecastOnly = Annotated[
    bool, knob("true, or --dry-run, prints what a run will take and makes nothing")
]
FromAudio = Annotated[
    Source,
    knob(
        "audio computes the features on the way and stores none of them; the same bytes, in one "
        "thread of a CPU"
    ),
]
FitOn = Annotated[
    Name, value("the sample of the codebook: a corpus, or what joins several; by params.yaml")
]
Only = Annotated[Choice | None, knob("the stores of that choice alone; null is all of params.yaml")]


@part
class CorpusConfig(Knobs):
    """What every stage of a corpus takes."""

    corpus: CorpusOption
    paths: Paths


@part
class PrepareConfig(CorpusConfig):
    """Audio -> manifests."""

    runner: RunnerOption
    max_failures: Annotated[
        Failures, value("files that may fail: a number, or below 1 a share of them")
    ]


@part
class ComputingConfig(CorpusConfig):
    """What every stage takes that computes features of audio."""

    feature: FeatureOption
    runner: RunnerOption
    max_failures: MaxFailures
    num_threads: ThreadsOfAnUtterance


@part
class ExtractConfig(ComputingConfig):
    """Manifests -> feature stores."""

    paths: FeaturePaths
    forecast: ForecastOnly


@part
class SampleConfig(ComputingConfig):
    """Feature store, or audio -> the pinned utterances that a codebook is fitted on."""

    paths: SamplePaths
    fit_on: FitOn
    pins: Annotated[Path, value("one id a line, committed")]
    pin: Annotated[bool, value("true draws the ids anew and writes that list")]
    hours: Annotated[Hours, value("of the training splits, when drawing", unit="h")]
    seed: Annotated[Seed, value("of the drawing")]
    source: FromAudio


@part
class FitConfig(Knobs):
    """Samples of one corpus or several -> codebook."""

    paths: CodebookPaths
    feature: FeatureOption
    tokenizer: TokenizerOption
    fit_on: FitOn
    pins: Annotated[Path, value("folder of the lists of pinned ids, one a corpus")]
    seed: Annotated[Seed, value("of the frames drawn from the sample, and of the first centroids")]
    num_threads: Annotated[Threads, value("another number changes last bits")]


@part
class TokenizeConfig(ComputingConfig):
    """Feature store and codebook, or audio and codebook -> token stores."""

    paths: TokenPaths
    tokenizer: TokenizerOption
    fit_on: FitOn
    source: FromAudio
    forecast: ForecastOnly


@part
class StabilityConfig(CorpusConfig):
    """Audio -> how many tokens flip when it is disturbed."""

    runner: RunnerOption
    only: Only
    utterances: Annotated[Utterances, value("of all splits, to disturb; 0 measures nothing")]
    max_s: Annotated[Seconds, Field(gt=0), value("of each utterance, from its beginning", unit="s")]
    seed: Annotated[Seed, value("of the drawing and of the noise")]


@part
class HeldOutConfig:
    """How far tokens of stored features lie from their centroids, beside those of the fit."""

    utterances: Annotated[Utterances, value("of each split that was not fitted on")]
    seed: Annotated[Seed, value("of the drawing")]


@part
class CertificateConfig:
    """What may differ between what is stored and what is computed again on another machine."""

    seed: Annotated[Seed, knob("of the drawing")]
    max_difference: Annotated[Share, knob("of the feature's standard deviation, rounding aside")]
    max_flips: Annotated[Share, knob("of the units")]


@part
class ValidateConfig(CorpusConfig):
    """Manifests and stores -> checks; of every choice, the report too."""

    runner: RunnerOption
    strict: Annotated[
        bool, knob("false records what is wrong and leaves the failing to the report stage")
    ]
    only: Only
    held_out: HeldOutConfig
    recompute: Annotated[
        Utterances,
        knob("of all splits, to compute again from audio and hold against what is stored"),
    ]
    certificate: Annotated[CertificateConfig, knob("of what is computed again")]


@part
class ReportConfig(CorpusConfig):
    """Checks -> metrics, plots and the HTML report."""


@part
class DecodeConfig(CorpusConfig):
    """The stored codes of one utterance -> an audio file."""

    paths: FeaturePaths
    feature: FeatureOption
    id: Annotated[Text, value("of the utterance, in any split")]
    out: Annotated[Text, value("the file: *.wav or *.flac")]


@part
class ImportCodebookConfig(Knobs):
    """A k-means fitted elsewhere -> a codebook's file."""

    file: Annotated[
        Text,
        value(
            "of numpy.save, joblib.dump (not compressed) or pickle.dump, or a faiss.IndexFlatL2",
        ),
    ]
    out: Annotated[Text, value("the codebook's file, *.safetensors")]


CONFIGS: Mapping[str, type[Knobs]] = {
    "decode": DecodeConfig,
    "extract": ExtractConfig,
    "fit": FitConfig,
    "import_codebook": ImportCodebookConfig,
    "prepare": PrepareConfig,
    "report": ReportConfig,
    "sample": SampleConfig,
    "stability": StabilityConfig,
    "tokenize": TokenizeConfig,
    "validate": ValidateConfig,
}
"""By the name of the stage, which its script and its file in conf/ have."""
