"""A speechbrain recipe caches by what is in a PaddedBatch, or by the digests of a manifest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.waiting import HANG_S

pytestmark = pytest.mark.slow

IDS = [f"u{number}" for number in range(10)]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the checks saw: one process, for speechbrain takes seconds to import."""
    command = [sys.executable, "-m", "tests.recipes.caching_checks"]
    done = subprocess.run(
        [*command, str(tmp_path_factory.mktemp("caching"))],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    read: dict[str, Any] = json.loads(done.stdout)
    return read


def test_a_padded_batch_gives_one_digest_at_every_batch_size(found: dict[str, Any]) -> None:
    assert found["digests"]["equal"]
    assert found["digests"]["different"] == len(IDS)


def test_a_padded_batch_is_cut_with_all_that_it_can_do(found: dict[str, Any]) -> None:
    cut = found["digests"]
    assert (cut["ids"], cut["texts"]) == (["u7", "u2"], ["of u7", "of u2"])
    assert (cut["length"], cut["whole"]) == (2, 10)
    assert cut["padded"]


def test_an_utterance_with_a_known_digest_is_not_decoded(found: dict[str, Any]) -> None:
    items = found["digest_items"]
    assert items["first"] == [8, 8]
    assert items["grown"] == [["u8", "u9"], ["u8", "u9"]]
    assert items["again"] == [[], []]
    assert items["stored"] == IDS[2:]
    assert items["keys"] == ["id", "sig"]  # what the dataset gives is as it was


def test_debug_computes_its_batches_and_never_publishes_under_the_name_of_the_split(
    found: dict[str, Any],
) -> None:
    debug = found["debug"]
    assert debug["computed"] == IDS[:4]
    assert (debug["published"], debug["in_readers"]) == ([], False)
    assert debug["debug_reads"] == 4
    assert debug["whole"] == len(IDS)
    assert (debug["progress"], debug["usual_progress"]) == (False, None)


def test_a_loader_whose_epoch_is_some_batches_is_refused_and_loses_nothing(
    found: dict[str, Any],
) -> None:
    looped = found["looped"]
    assert len(looped["refused"]) == 3
    assert all("looped_nominal_epoch" in one for one in looped["refused"])
    assert looped["published"] == []
