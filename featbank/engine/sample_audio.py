"""Compute the sample that a codebook is fitted on from audio, where no feature store exists."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from featbank.base.manifest import Utterance, iterate_manifest, write_manifest
from featbank.base.notices import tell
from featbank.engine.extract import feature_job, make_features
from featbank.engine.run import WHAT_FITS, Reuse, Run
from featbank.engine.tasks import Tally
from featbank.engine.work import WorkFolder
from featbank.tokenizers.sample import (
    read_pins,
    refuse_codes,
    refuse_layers,
    refuse_missing_pins,
    write_sample,
)

_SPLIT = "sample"
"""Under which all is computed, whatever splits the pinned utterances are in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedFeature:
    """A feature of the utterances that are pinned for a codebook.

    Args:
        feature: its name.
        pins: list of the pinned ids.
        splits: that they may be in: those to train on.
    """

    feature: str
    pins: Path
    splits: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectSample:
    """The sample that was written, and how much was computed for it.

    Args:
        num_utterances: that the sample holds.
        tally: what was computed, and what was taken over.
    """

    num_utterances: int
    tally: Tally


def sample_audio(
    run: Run, out: Path, pinned: PinnedFeature, reuse: Reuse = WHAT_FITS
) -> DirectSample:
    """Compute a feature of the pinned utterances alone and write the sample store.

    It is the one that `sampling.write_sample` copies from a feature store, byte for byte.

    Args:
        run: what to compute, and how. Its work folder takes the features until the sample is
            written; those of another definition that a stopped run has left there are replaced.
        out: the sample store.
        pinned: what it is to hold.
        reuse: of which numerics classes what a stopped run left may be, and whether a sample of
            features that were made in another way is replaced.

    Raises:
        ConfigError: the feature has no frames that are vectors of floats.
        CorpusError: a pinned id is in no manifest of these splits.
        StoreError: a sample is there already of features that were made in another way.
        FeatbankError: what `extract` raises.
    """
    feature, where = pinned.feature, f"feature {run.definition.name}"
    for entry in run.definition.storage:
        if entry.name == feature:  # before weights are loaded
            refuse_codes(entry.dtype, where)
    tell(phase="reading manifests")
    rows = _rows(run, pinned)
    tell(total=sum(row.duration_s for row in rows))
    manifests, features = run.work / "manifests", run.work / "features"
    shutil.rmtree(manifests, ignore_errors=True)  # of a stopped run
    write_manifest(manifests / f"{_SPLIT}.jsonl", rows)
    with WorkFolder(features) as folder:
        job = feature_job(run.of_sample(manifests, run.work), features)
        refuse_layers(job.extractor.outputs[feature].shape, where)
        tally = make_features(job, Reuse(overwrite=True, numerics=reuse.numerics)).tally
        num_utterances = write_sample(
            features=[features / feature / _SPLIT],
            pins=pinned.pins,
            out=out,
            overwrite=reuse.overwrite,
        )
        folder.finish([out], keep=run.keep_work)
    shutil.rmtree(manifests)
    return DirectSample(num_utterances=num_utterances, tally=tally)


def _rows(run: Run, pinned: PinnedFeature) -> list[Utterance]:
    """Return the rows of the pinned utterances.

    Raises:
        CorpusError: one is not there.
    """
    ids = read_pins(pinned.pins)
    wanted = frozenset(ids)
    manifests = [run.corpus.manifests / f"{split}.jsonl" for split in pinned.splits]
    rows = [row for path in manifests for row in iterate_manifest(path) if row.id in wanted]
    refuse_missing_pins(pinned.pins, ids, {row.id for row in rows}, manifests)
    return rows
