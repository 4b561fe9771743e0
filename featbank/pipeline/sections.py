"""Sections of the schemas of configurations that several stages share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from featbank.corpora.splits import HELD_OUT, TRAIN
from featbank.pipeline.schema import (
    UNIT,
    Bandwidth,
    ComponentOption,
    Count,
    Device,
    LabelsOption,
    Modules,
    Name,
    NamePattern,
    Numerics,
    Open,
    Seconds,
    Splits,
    TaskSeconds,
    Threads,
    fault,
    knob,
    place,
    section,
    value,
)
from featbank.tokenizers.tokenized import feature_of_tokens


@section
class Runtime:
    """Settings of how a stage shows itself, and of files outside of what DVC tracks."""

    progress: Annotated[
        bool | None,
        knob(
            "null draws a live line on a terminal, and tells a line a minute under CI and in "
            "files; true draws it under CI, too; false is silent"
        ),
    ]
    records: Annotated[Path, knob("how long each stage took on this machine")]
    checks: Annotated[Path, knob("of stores that params.yaml does not choose")]
    stability: Annotated[Path, knob("of tokens that params.yaml does not choose")]
    certificates: Annotated[Path, knob("what computing a sample again gave on this machine")]
    drift: Annotated[Path, knob("what drifted from another version, a file a corpus")]
    failures: Annotated[Path, knob("failure lists of runs that went over their budget")]
    work: Annotated[
        Path,
        knob(
            "finished shards of runs that were stopped, or that DVC has not yet seen to their end"
        ),
    ]
    scans: Annotated[
        Path,
        knob("what was found of audio files: one that has not changed is not decoded again"),
    ]
    rates: Annotated[
        Path,
        knob(
            "how fast GPUs were, for forecasts: `python -m benchmarks.gpu --rates FILE` writes it"
        ),
    ]
    upload_mb_per_s: Annotated[
        Bandwidth | None,
        knob("of the way to DVC's remote: forecasts tell the hours then", unit="MB/s"),
    ]


@section
class Knobs:
    """Settings that every stage takes."""

    overwrite: Annotated[
        bool, knob("true replaces a store whatever it holds, and takes nothing over from it")
    ]
    break_lock: Annotated[
        bool,
        knob("true, or --break-lock, takes a lock whose owner is gone, where nobody can tell"),
    ]
    fetch: Annotated[
        bool,
        knob("true has DVC fetch what its cache lacks of stores made before, to take it over"),
    ]
    trusted_modules: Annotated[Modules, knob("packages beside featbank that a _target_ may name")]
    numerics: Annotated[
        Numerics, knob("strict takes over no shard that a machine of another numerics class made")
    ]
    device: Annotated[Device, knob("cuda: the GPU that the runner gives a worker")]
    batch_s: Annotated[
        Seconds | None,
        knob(
            "of audio computed together: null is by a GPU's memory, and each utterance alone else",
            unit="s",
        ),
    ]
    num_decoders: Annotated[
        Threads | None,
        knob("of a worker, that decode audio ahead of its device: null is by its processors"),
    ]
    task_s: Annotated[
        TaskSeconds | None,
        knob(
            "of audio that a worker loses at most when it is killed: null is by the run", unit="s"
        ),
    ]
    runtime: Annotated[Runtime, knob("how a stage shows itself, and its own files")]


@section
class Paths:
    """Paths of the outputs of a corpus. dvc.yaml names the same paths."""

    root: Annotated[Path, place("of all outputs but the report")]
    manifests: Annotated[Path, place("a manifest a split, of the corpus")]
    stability: Annotated[Path, place("how many tokens flip, a file a choice")]
    checks: Annotated[Path, place("a file a choice")]
    report: Annotated[Path, place("the report, and what DVC shows of it")]


@section
class FeaturePaths(Paths):
    """Paths of the outputs of a corpus and of a feature."""

    features: Annotated[Path, place("stores of the feature: NAME/SPLIT")]


@section
class SamplePaths(FeaturePaths):
    """Paths of the outputs of a corpus and of the sample of a feature."""

    sample: Annotated[Path, place("stores of pinned utterances, one a corpus")]


@section
class TokenPaths(FeaturePaths):
    """Paths of a feature, and of what a tokenizer makes of it."""

    codebook: Annotated[Path, place("the fitted centroids")]
    tokens: Annotated[Path, place("token stores: NAME/SPLIT")]


@section
class CodebookPaths:
    """Paths of the samples that a codebook is fitted on, and of the codebook."""

    root: Annotated[Path, place("of all outputs but the report")]
    sample: Annotated[Path, place("stores of pinned utterances, one a corpus")]
    codebook: Annotated[Path, place("the fitted centroids")]


class CorpusOption(ComponentOption):
    """A corpus: its layout, and the name of its outputs."""

    name: Annotated[Name, Field(description="folder of its outputs")]
    root: Annotated[str, Field(description="folder of its audio and tables, or their URL")]
    labels: Annotated[LabelsOption, Field(description="time-aligned labels, below root")] = None
    train: Annotated[Splits, Field(description="splits that codebooks may be fitted on")] = TRAIN
    held_out: Annotated[Splits, Field(description="splits that nothing is fitted on")] = HELD_OUT


class StorageEntry(Open):
    """Storage settings of one feature."""

    name: Annotated[
        NamePattern, Field(description="of the feature; a * stands for what several differ in")
    ]
    dtype: Annotated[str, Field(description="its values are stored as")] = "float32"
    shard_bytes: Annotated[
        Count | None,
        Field(description="around which shards are cut", json_schema_extra={UNIT: "bytes"}),
    ] = None
    compression: Annotated[
        Literal["zstd", "blosc"] | None,
        Field(description="of the values; null has them mapped into memory"),
    ] = None


@section
class FeatureOption:
    """An extractor, and the storage settings of its features."""

    name: Annotated[Name, value("folder of its stores")]
    extractor: Annotated[
        ComponentOption, value("the class and its arguments", told="_target_ and its arguments")
    ]
    storage: Annotated[
        Sequence[StorageEntry],
        Field(min_length=1),
        value(
            "one entry for each feature name, or for several: {name: wavlm-l*}",
            told="a list of one entry a feature name: [{name: fbank, dtype: float32}]",
        ),
    ]

    def __post_init__(self) -> None:
        """Refuse a key that no storage entry has, such as those of a recipe's entries."""
        for entry in self.storage:
            if unknown := sorted(entry.model_extra or ()):
                raise fault(
                    "storage",
                    expected="flat keys alone: name, dtype, shard_bytes and compression, as in "
                    "{name: fbank, dtype: float32, shard_bytes: 67108864}",
                    got=f"{' and '.join(unknown)} of {entry.name}",
                )

    @property
    def names(self) -> Sequence[str]:
        """Names of the features."""
        return [entry.name for entry in self.storage]

    @property
    def stored(self) -> Sequence[Mapping[str, object]]:
        """The entries of storage, as `feature_io.read_storage` takes them."""
        return [entry.arguments for entry in self.storage]

    def of_tokens(self, stored: str) -> str:
        """Return the feature that tokens are made of; see `feature_of_tokens`.

        Raises:
            ConfigError: there is no such feature.
        """
        return feature_of_tokens(stored, self.name, self.names)

    def told_choice(self, chosen: str) -> str:
        """Name the feature that tokens are made of for a log line, where there are others."""
        others = ", ".join(name for name in self.names if not fnmatchcase(chosen, name))
        return f" of {chosen}; storage names {others}, too" if others else ""


@section
class KMeansSettings:
    """Settings of k-means."""

    num_clusters: Annotated[Count, value("centroids of a codebook")]
    num_codebooks: Annotated[Count, value("over 1: residual k-means, codes (Q, T)")]
    num_frames: Annotated[Count, value("drawn from the sample; held in memory, 4 bytes a value")]
    max_passes: Annotated[Count, value("over a tenth, a third, all of them")]
    tol: Annotated[
        float,
        value("a pass that gains a smaller part is the last of its kind", ge=0, lt=1),
    ]


@section
class ImportedFile:
    """A codebook that was fitted elsewhere, as stages/import_codebook.py prints it."""

    path: Annotated[str, value("of its file")]
    sha256: Annotated[str, value("of its centroids, as printed")]


@section
class TokenizerOption:
    """Tokenizer settings: how tokens are made of frames."""

    name: Annotated[Name, value("what the tokens are named after, behind the feature")]
    codebook: Annotated[
        Name, value("the tokenizer whose centroids it uses: its own name, or that of another")
    ]
    kmeans: Annotated[
        KMeansSettings | None,
        value("settings of k-means; null where a codebook is imported, or another tokenizer's"),
    ]
    imported: Annotated[
        ImportedFile | None,
        value("in place of fitting: {path: ..., sha256: ...}, as import_codebook.py prints it"),
    ]
    merge_repeats: Annotated[
        bool, value("true stores runs of equal units once, with their durations beside them")
    ]
    shard_bytes: Annotated[Count, value("around which the shards of tokens are cut", unit="bytes")]

    def __post_init__(self) -> None:
        """Refuse a tokenizer without centroids, and one with centroids beside those it shares."""
        if self.codebook != self.name:
            if self.kmeans is not None or self.imported is not None:
                raise fault(
                    "kmeans",
                    expected=f"null, as imported, for its codebook is that of {self.codebook}",
                    got="settings of its own",
                )
        elif self.kmeans is None and self.imported is None:
            raise fault(
                "kmeans",
                expected="settings of k-means, or tokenizer.imported in their place",
                got="null",
            )
