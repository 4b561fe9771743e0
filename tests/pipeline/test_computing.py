"""What a run of an extractor is told of the configuration of its stage."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

import featbank.pipeline.choices  # noqa: F401 - the params resolver
from featbank.numerics import Computing
from featbank.pipeline.composition.plain import plain_values
from featbank.pipeline.computing import computing_run
from featbank.pipeline.configs import ExtractConfig
from featbank.pipeline.faults import Origin, validated
from tests.conftest import ROOT


@pytest.mark.usefixtures("corpus")
def test_a_run_is_told_how_it_is_cut_and_computed(tmp_path: Path) -> None:
    typed = [
        "feature=fbank", "runner=inline", f"paths.manifests={tmp_path / 'manifests'}",
        "device=cpu", "num_threads=2", "batch_s=15", "num_decoders=3", "task_s=90.5",
    ]  # fmt: skip
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        values, _ = plain_values(compose("extract", typed))
    run = computing_run(validated(ExtractConfig, values, Origin(stage="extract")), "name")
    assert run.task_s == 90.5
    assert run.computing == Computing(device="cpu", num_threads=2, batch_s=15, num_decoders=3)
