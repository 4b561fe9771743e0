"""`validate` with `recompute=`, as typed."""

from __future__ import annotations

import json
import shutil

import pytest

from featbank.store import StoreWriter, open_store
from tests.pipeline.conftest import Project

pytestmark = pytest.mark.slow


def test_validate_certifies_a_sample_and_names_what_came_out_otherwise(
    own_prepared: Project,
) -> None:
    project = own_prepared
    project.run("python stages/extract.py feature=mfcc")
    command = "python stages/validate.py only=features/mfcc"
    project.run(command)
    check = project.path / "data/checks/demo/features/mfcc.json"
    before = check.read_bytes()
    command += " recompute=6"
    told = project.run(f"{command} runner=local runner.num_workers=1", FEATBANK_RUNNER="nobody's")
    assert "features/mfcc/mfcc: 6 utterances with equal bits" in told
    assert check.read_bytes() == before
    path = project.path / ".featbank/certificates/demo/features/mfcc.json"
    certificate = json.loads(path.read_text())
    assert certificate["passes"]
    name = certificate["sample"]["dev"][0]

    store = open_store(project.path / "data/features/demo/mfcc/mfcc/dev")
    header = store.header
    with StoreWriter(
        store.path, name=header.name, dtype=header.dtype, shape=header.shape,
        framing=header.framing, frame_rate=header.frame_rate, fingerprint=header.fingerprint,
        first_frame_center_s=header.first_frame_center_s, provenance=header.provenance,
        numerics=header.numerics[0],
    ) as writer:  # fmt: skip
        for one in store.ids:
            writer.write(one, store[one] + (one == name), store.input_digest(one))
    (store.path.parent / "splits.json").unlink()  # it states the store that was there
    told = project.run(command, status=1)
    assert f"mfcc, dev, utterance '{name}': expected equal bits" in told
    assert not json.loads(path.read_text())["passes"]
    assert "5 utterances with equal bits; 1 differ" in project.run(f"{command} strict=false")

    project.edit("conf/feature/mfcc.yaml", "num_ceps: 13", "num_ceps: 12")
    told = project.run(command, status=1)
    assert "the definition of the features of store data/features/demo/mfcc/mfcc" in told
    assert "num_ceps 12, got num_ceps 13" in told
    shutil.copytree(store.path.parents[1], store.path.parents[1].with_name("mfcc40"))
    told = project.run(f"{command} strict=false".replace("mfcc", "mfcc40"), status=1)
    assert "definition of features/mfcc40: expected a file of conf/feature, got no such" in told
    assert "did you mean mfcc? Or put what was typed by hand" in told
