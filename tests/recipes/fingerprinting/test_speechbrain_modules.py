"""Speechbrain's own modules: which of their state counts, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.waiting import HANG_S

pytestmark = pytest.mark.slow

# only processes of their own import speechbrain: see tests/recipes/test_speechbrain.py
PROGRAM = """
import functools, warnings
from types import SimpleNamespace
import pytest, torch
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.lobes.features import Fbank, MFCC
from speechbrain.nnet.RNN import GRU
from speechbrain.processing.features import STFT, GlobalNorm, InputNormalization
from featbank.errors import ConfigError
from featbank.recipes.fingerprinting import difference, evaluating, fingerprint_recipe
from featbank.base.framing import Framing
from featbank.base.routing import route

torch.set_num_threads(1)


class Owner:
    def compute_features(self, batch, stage):
        return self.hparams.front(batch)


def taken(front):
    owner = Owner()
    owner.hparams = SimpleNamespace(front=front)
    return fingerprint_recipe(
        owner.compute_features, owner=owner, modules={}, hparams=owner.hparams, feature_configs=[],
    )


def compute(front, batches):
    with evaluating([], {"front": [functools.partial(front)]}) as evaluation:
        for batch in batches:
            front(*batch)
            evaluation.refuse_changed()


wavs = [(torch.randn(2, 8000),), (torch.randn(2, 9000),), (torch.randn(2, 8000),)]
frames = [(torch.randn(2, 9, 4), torch.tensor([1.0, 0.5])) for _ in range(3)]

# use leaves nothing behind, of front ends that make kernels and marks by their first forward
for make in (Fbank, functools.partial(Fbank, context=True, deltas=True), MFCC,
             functools.partial(STFT, 16000)):
    front = make()
    before = taken(front)
    compute(front, wavs)
    assert taken(front) == before == taken(make())
    front(*wavs[0])  # outside of an extraction, too, but for a kernel of ContextWindow
    left = difference(before.parts, taken(front).parts)
    assert left == (["hparams.front differs"] if getattr(front, "context", False) else []), left
assert taken(Fbank()).digest != taken(Fbank(win_length=50)).digest
torch.manual_seed(0)
rnn = GRU(8, input_shape=[None, None, 4])
assert taken(rnn) == taken(rnn)

# a global normaliser: fresh, trained, and one that never stops
fresh = InputNormalization(norm_type="global")
with pytest.raises(ConfigError, match=r"hparams\\.front.*global InputNormalization: expected stat"
                   r".*none: it has seen no data; .*checkpoint.*norm_type: sentence"):
    compute(fresh, frames)
assert fresh.count == 0 and fresh.training and not fresh._forward_pre_hooks
with evaluating([fresh]):
    pass  # held, but not used
fresh(*frames[0])
before, stats = taken(fresh), fresh.glob_mean.clone()
compute(fresh, frames)
assert taken(fresh) == before and torch.equal(fresh.glob_mean, stats)
fresh(*frames[1])  # in training
assert taken(fresh).digest != before.digest
compute(InputNormalization(norm_type="sentence"), frames)
with pytest.raises(ConfigError, match="running_mean of a GlobalNorm: .* order of the utterances"):
    compute(GlobalNorm(), frames)
frozen = GlobalNorm()
frozen(*frames[0])
frozen.freeze()
compute(frozen, frames)

# counts of frames in a padded batch
centred = Framing(sample_rate=16000, window_length=400, hop_length=160, left=200, right=200)
front = Fbank(n_mels=8)
rows = [{"id": str(n), "sig": torch.randn(n)} for n in torch.randint(400, 9000, (24,)).tolist()]
counts = set()
for size in (1, 4, 8):
    for start in range(0, 24, size):
        batch = PaddedBatch(rows[start : start + size])
        wav, lens = batch.sig
        returned = {"id": batch.id, "fbank": (front(wav), lens)}
        found = route(returned, ["fbank"], framings={"fbank": centred}, batch=batch)
        counts |= {(one, len(features["fbank"])) for one, features in found}
assert counts == {(row["id"], front(row["sig"][None]).shape[1]) for row in rows}
print("done")
"""


def test_modules_of_speechbrain_count_as_they_are_before_their_use(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, str(program)],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(tmp_path)},
    )
    assert done.stdout == "done\n", done.stderr
