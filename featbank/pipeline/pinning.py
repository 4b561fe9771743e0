"""Pinned utterances of a sample: drawn once, and then what they are."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from featbank.base.manifest import read_manifest
from featbank.base.split_names import split_names
from featbank.errors import CorpusError
from featbank.files.opening import read_regular
from featbank.pipeline.configs import SampleConfig
from featbank.pipeline.dvc_outputs import locked_digest
from featbank.tokenizers.sample import draw_sample, present_splits, write_pins

_log = logging.getLogger(__name__)

_COMMENT_BYTES = 4096  # a list of ids is longer, or holds one


def training_splits(config: SampleConfig) -> Sequence[str]:
    """Return the splits of the corpus that are there and may be trained on."""
    there = split_names(config.paths.manifests)
    return present_splits(config.corpus.train, there, config.corpus.name)


def draw_pins(config: SampleConfig) -> None:
    """Draw utterances of the manifests, and write their list in place of the one there is."""
    folder, splits = config.paths.manifests, training_splits(config)
    rows = [row for split in splits for row in read_manifest(folder / f"{split}.jsonl")]
    ids = draw_sample(rows, hours=config.hours, seed=config.seed)
    told = ", ".join(splits)
    how = f"{len(ids)} utterances of {told}: {config.hours:g} h or all, by seed {config.seed}"
    write_pins(config.pins, ids, how=how)
    _log.info("%s: %s; commit it", config.pins, how)


def draw_first_pins(config: SampleConfig, out: Path) -> None:
    """Draw the list of a project where nothing is drawn yet: a comment and no id is there.

    Args:
        config: of the stage.
        out: the sample, which DVC tracks.

    Raises:
        CorpusError: a sample was made before, of a list that was not committed.
    """
    if not _is_undrawn(config.pins):
        return
    if locked_digest(out):
        raise CorpusError(
            f"pinned ids {config.pins}",
            expected=f"those that dvc.lock has {out} of",
            got="none",
            hint="commit them from where they were drawn; python stages/sample.py pin=true "
            f"fit_on={config.fit_on} corpus={config.corpus.name} draws others, for new codebooks",
        )
    draw_pins(config)


def _is_undrawn(pins: Path) -> bool:
    if not pins.is_file() or pins.stat().st_size > _COMMENT_BYTES:
        return False
    lines = read_regular(pins, _COMMENT_BYTES).splitlines()
    return not any(line for line in lines[:1] if not line.startswith(b"# ")) and not any(lines[1:])
