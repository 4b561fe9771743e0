"""Schemas of the stages' configurations: keys, types, units and help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from featbank.pipeline.schema import (
    Choice,
    ComponentOption,
    Count,
    Deviations,
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
    place,
    section,
    value,
)
from featbank.pipeline.sections import (
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

RunnerOption = Annotated[
    ComponentOption, knob("what spreads the work over processes, jobs or actors")
]
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
Push = Annotated[
    bool,
    knob(
        "true sends finished shards to DVC's remote and keeps none here: `dvc pull` of the .dvc "
        "file that is written has the stores"
    ),
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
Stored = Annotated[
    Name,
    value(
        "the feature to take, which outputs are named after: the definition's own name for the "
        "first of its features, or the name of one (wavlm-l9 of wavlm)"
    ),
]
Only = Annotated[Choice | None, knob("the stores of that choice alone; null is all of params.yaml")]


@section
class CorpusConfig(Knobs):
    """Base of the configurations of stages that take a corpus."""

    corpus: Annotated[CorpusOption, place("what to read, and the name of its outputs")]
    paths: Annotated[Paths, place("where outputs lie")]


@section
class PrepareConfig(CorpusConfig):
    """Configuration of `prepare`: audio -> manifests."""

    runner: RunnerOption
    max_failures: Annotated[
        Failures, value("files that may fail: a number, or below 1 a share of them")
    ]


@section
class ComputingConfig(CorpusConfig):
    """Base of the configurations of stages that compute features of audio."""

    feature: Annotated[FeatureOption, value("an extractor, and how its features are stored")]
    runner: RunnerOption
    max_failures: MaxFailures
    num_threads: ThreadsOfAnUtterance


@section
class ExtractConfig(ComputingConfig):
    """Configuration of `extract`: manifests -> feature stores."""

    paths: Annotated[FeaturePaths, place("where outputs lie")]
    forecast: ForecastOnly
    push: Push
    push_remote: Annotated[Text | None, knob("DVC's name of it; null is its default remote")]
    pushed: Annotated[Path, knob("folder of those .dvc files, which git must not ignore")]


@section
class SampleConfig(ComputingConfig):
    """Configuration of `sample`: feature store or audio -> pinned utterances for codebooks."""

    paths: Annotated[SamplePaths, place("where outputs lie")]
    stored: Stored
    fit_on: FitOn
    pins: Annotated[Path, place("one id a line, committed")]
    pin: Annotated[bool, value("true draws the ids anew and writes that list")]
    hours: Annotated[Hours, value("of the training splits, when drawing", unit="h")]
    seed: Annotated[Seed, value("of the drawing")]
    source: FromAudio


@section
class FitConfig(Knobs):
    """Configuration of `fit`: samples of one corpus or several -> codebook."""

    paths: Annotated[CodebookPaths, place("where outputs lie")]
    feature: Annotated[FeatureOption, value("an extractor, and how its features are stored")]
    tokenizer: Annotated[TokenizerOption, value("how tokens are made of features")]
    stored: Stored
    fit_on: FitOn
    pins: Annotated[Path, place("folder of the lists of pinned ids, one a corpus")]
    seed: Annotated[Seed, value("of the frames drawn from the sample, and of the first centroids")]
    num_threads: Annotated[Threads, value("another number changes last bits")]


@section
class TokenizeConfig(ComputingConfig):
    """Configuration of `tokenize`: feature store or audio, and codebook -> token stores."""

    paths: Annotated[TokenPaths, place("where outputs lie")]
    tokenizer: Annotated[TokenizerOption, value("how tokens are made of features")]
    stored: Stored
    fit_on: FitOn
    source: FromAudio
    forecast: ForecastOnly


@section
class StabilityConfig(CorpusConfig):
    """Configuration of `stability`: audio -> how many tokens flip when it is disturbed."""

    runner: RunnerOption
    only: Only
    utterances: Annotated[Utterances, value("of all splits, to disturb; 0 measures nothing")]
    max_s: Annotated[Seconds, Field(gt=0), value("of each utterance, from its beginning", unit="s")]
    seed: Annotated[Seed, value("of the drawing and of the noise")]


@section
class HeldOutConfig:
    """Settings of held-out inertia: how far tokens of stored features lie from their centroids."""

    utterances: Annotated[Utterances, value("of each split that was not fitted on")]
    seed: Annotated[Seed, value("of the drawing")]


@section
class AbxConfig:
    """Settings of ABX: how often a phone lies nearer to another one than to itself."""

    speakers: Annotated[Count, value("of the held-out splits, drawn; across speakers needs 2")]
    utterances: Annotated[Utterances, value("of each of these speakers; 0 measures nothing")]
    segments: Annotated[Count, value("compared of a phone of a speaker, at most")]
    by_context: Annotated[bool, value("true compares phones between the same neighbours alone")]
    silences: Annotated[Sequence[str], value("labels that are no phones", told="a list of labels")]


@section
class NgramConfig:
    """Settings of the unit n-gram: how far units foretell those that come after them."""

    utterances: Annotated[
        Utterances, value("to train on, of train, and to measure on, of held_out; 0 is nothing")
    ]
    order: Annotated[Count, Field(le=8), value("n: units are told by the n - 1 before them")]


@section
class ProbeConfig:
    """Settings of the speaker probe: how far the mean of an utterance tells its speaker."""

    speakers: Annotated[Count, value("of all splits, drawn")]
    utterances: Annotated[Utterances, value("of each of these speakers; 0 measures nothing")]


@section
class QualityConfig:
    """Settings of the quality of stores: what the report and `featbank compare` tabulate."""

    seed: Annotated[Seed, value("of the drawings")]
    abx: AbxConfig
    ngram: NgramConfig
    probe: ProbeConfig


@section
class CertificateConfig:
    """Settings of certificates: tolerances between stored values and those computed again."""

    seed: Annotated[Seed, knob("of the drawing")]
    max_difference: Annotated[Share, knob("of the feature's standard deviation, rounding aside")]
    max_flips: Annotated[Share, knob("of the units")]


@section
class DriftConfig:
    """Settings of drift: how far a version of a corpus may be from another one."""

    rates: Annotated[Share, knob("of the utterances that would need another sample rate")]
    lengths: Annotated[
        Share, knob("largest difference of cumulative distributions (Kolmogorov-Smirnov)")
    ]
    languages: Annotated[Share, knob("of the utterances that would need another language")]
    speakers: Annotated[Share, knob("of the utterances that would need another speaker")]
    texts: Annotated[Share, knob("of the utterances that gained or lost their text")]
    failures: Annotated[Share, knob("change of the share of rows that failed")]
    means: Annotated[Deviations, knob("of all values or one dimension", unit="older stds")]
    stds: Annotated[Deviations, knob("of all values or one dimension", unit="older stds")]
    extremes: Annotated[Deviations, knob("beyond the older range", unit="older stds")]
    units: Annotated[Share, knob("Jensen-Shannon divergence of their usage", unit="bits")]
    new_units: Annotated[Share, knob("of the frames whose unit the other version never uses")]
    perplexity: Annotated[Deviations, knob("change of that of the usage, a share of the older")]
    chance: Annotated[
        Deviations, knob("that so few utterances may differ by, too", unit="standard errors")
    ]


@section
class ValidateConfig(CorpusConfig):
    """Configuration of `validate`: manifests and stores -> checks, and a report of all choices."""

    runner: RunnerOption
    strict: Annotated[
        bool, knob("false records what is wrong and leaves the failing to the report stage")
    ]
    only: Only
    held_out: HeldOutConfig
    quality: Annotated[QualityConfig, value("how well phones, units and speakers can be told")]
    recompute: Annotated[
        Utterances,
        knob("of all splits, to compute again from audio and hold against what is stored"),
    ]
    certificate: Annotated[CertificateConfig, knob("of what is computed again")]
    against: Annotated[
        Text | None,
        knob("a git revision, or a folder of another version, to hold this version against"),
    ]
    drift: Annotated[DriftConfig, knob("up to which it is no finding")]


@section
class ReportConfig(CorpusConfig):
    """Configuration of `report`: checks -> metrics, plots and the HTML report."""

    sounds: Annotated[Utterances, value("to see and hear, one a split at most; 0 reads no audio")]
    sound_s: Annotated[Seconds, Field(gt=0, le=30), value("of each, from its beginning", unit="s")]
    unheard: Annotated[
        Sequence[str],
        value(
            "licences and consents, as patterns, whose audio is in no report",
            told="a list of patterns",
        ),
    ]
    stamp: Annotated[
        bool,
        value("true writes the date, and the revisions of git and DVC, on a page to hand on"),
    ]


@section
class DecodeConfig(CorpusConfig):
    """Configuration of `decode`: the stored codes of one utterance -> an audio file."""

    paths: Annotated[FeaturePaths, place("where outputs lie")]
    feature: Annotated[FeatureOption, value("an extractor, and how its features are stored")]
    id: Annotated[Text, place("of the utterance, in any split")]
    out: Annotated[Text, place("the file: *.wav or *.flac")]


@section
class ImportCodebookConfig(Knobs):
    """Configuration of `import_codebook`: a k-means fitted elsewhere -> a codebook's file."""

    file: Annotated[
        Text,
        place(
            "of numpy.save, joblib.dump (not compressed) or pickle.dump, or a faiss.IndexFlatL2",
        ),
    ]
    out: Annotated[Text, place("the codebook's file, *.safetensors")]


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
