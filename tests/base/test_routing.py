"""The frames of an utterance are the same in every batch, or their number is refused."""

from __future__ import annotations

from collections import namedtuple
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from featbank.base.framing import Framing, frame_counts
from featbank.base.routing import route
from featbank.errors import FeatbankError

PaddedData = namedtuple("PaddedData", ["data", "lengths"])  # as speechbrain's
CENTRED = Framing(sample_rate=16000, window_length=400, hop_length=160, left=200, right=200)


def batches_of(waveforms: dict[str, torch.Tensor], size: int) -> Any:
    """Batches as speechbrain pads them: shares of the longest, in float32."""
    names = list(waveforms)
    for start in range(0, len(names), size):
        ids = names[start : start + size]
        each = [waveforms[one] for one in ids]
        longest = max(map(len, each))
        padded = torch.nn.utils.rnn.pad_sequence(each, batch_first=True)
        shares = torch.tensor([len(one) / longest for one in each])
        yield SimpleNamespace(id=ids, sig=PaddedData(padded, shares))


def frames_of(waveforms: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.pad(waveforms, [200, 200]).unfold(1, 400, 160)


@pytest.fixture
def waveforms() -> dict[str, torch.Tensor]:
    numbers = torch.randint(400, 30000, (40,), generator=torch.Generator().manual_seed(0))
    return {f"u{row}": torch.ones(number) for row, number in enumerate(numbers.tolist())}


def returned_in_three_ways(batch: Any) -> Any:
    frames = frames_of(batch.sig.data)
    yield frames, batch.sig.lengths
    yield frames, batch.sig
    yield frames, frame_counts(batch.sig, CENTRED)


@pytest.mark.parametrize("size", [1, 4, 8])
def test_with_its_framing_a_feature_has_the_same_frames_in_every_batch(
    waveforms: dict[str, torch.Tensor], size: int
) -> None:
    for batch in batches_of(waveforms, size):
        for pair in returned_in_three_ways(batch):
            routed = route({"id": batch.id, "x": pair}, ["x"], framings={"x": CENTRED}, batch=batch)
            for utterance_id, features in routed:
                assert len(features["x"]) == 1 + len(waveforms[utterance_id]) // 160


def test_shares_without_a_framing_are_refused_with_the_way_out(
    waveforms: dict[str, torch.Tensor],
) -> None:
    batch = next(batches_of(waveforms, 4))
    frames, shares = frames_of(batch.sig.data), batch.sig.lengths
    for lengths in (shares, shares.tolist(), batch.sig):
        with pytest.raises(FeatbankError, match=r"numbers of frames.*declare.*framing"):
            list(route({"id": batch.id, "x": (frames, lengths)}, ["x"], batch=batch))
    # nor does a framing help where nobody knows of what they are shares
    returned = {"id": batch.id, "x": (frames, shares.clone())}
    with pytest.raises(FeatbankError, match="numbers of frames"):
        list(route(returned, ["x"], framings={"x": CENTRED}, batch=batch))


def test_where_nothing_is_padded_a_share_of_one_is_exact() -> None:
    frames = torch.zeros(2, 7, 3)
    found = route({"id": ["a", "b"], "x": (frames, torch.ones(2))}, ["x"])
    assert [len(features["x"]) for _, features in found] == [7, 7]


def test_a_framing_that_is_not_the_features_is_refused(waveforms: dict[str, torch.Tensor]) -> None:
    batch = next(batches_of(waveforms, 4))
    snipped = Framing(sample_rate=16000, window_length=400, hop_length=160)
    returned = {"id": batch.id, "x": (frames_of(batch.sig.data), batch.sig)}
    with pytest.raises(FeatbankError, match=r"as its framing says, got .* left and right"):
        list(route(returned, ["x"], framings={"x": snipped}))


def test_codes_are_counted_where_their_time_is(waveforms: dict[str, torch.Tensor]) -> None:
    batch = next(batches_of(waveforms, 4))
    codes = frames_of(batch.sig.data)[..., :8].transpose(1, 2)  # (B, Q, T)
    returned = {"id": batch.id, "x": (codes, batch.sig)}
    for utterance_id, features in route(returned, ["x"], {"x": -1}, framings={"x": CENTRED}):
        assert features["x"].shape == (8, 1 + len(waveforms[utterance_id]) // 160)


def test_shares_too_coarse_for_a_batch_are_refused() -> None:
    long = torch.zeros(1, 1).expand(1, 2**23)
    assert frame_counts((long[:, 1:], torch.ones(1)), CENTRED) == [1 + (2**23 - 1) // 160]
    with pytest.raises(FeatbankError, match="under 8388608 samples"):
        frame_counts((long, torch.ones(1)), CENTRED)
    assert frame_counts((long, torch.ones(1, dtype=torch.float64)), CENTRED)
    assert frame_counts((long, torch.tensor([16000])), CENTRED) == [101]
