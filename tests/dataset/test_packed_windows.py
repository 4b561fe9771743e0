"""A packed window says what attention must keep apart, and what a loss is of."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from featbank.dataset import (
    PackedWindow,
    PackedWindows,
    TokenWindows,
    WindowSampler,
    collate_for_transformers,
)
from featbank.errors import ConfigError
from featbank.store import Store
from tests.dataset.token_stores import NUM_UNITS, stream_of, write_codes, write_units


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_units(tmp_path_factory.mktemp("units") / "units")


@pytest.fixture(scope="module")
def codes(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_codes(tmp_path_factory.mktemp("codes") / "codes", 3)


@given(
    length=st.integers(2, 40) | st.just(300),
    overlap=st.integers(0, 12),
    begin=st.none() | st.just(NUM_UNITS + 1),
    go_on=st.booleans(),
)
def test_each_token_of_the_stream_has_its_document_position_and_one_turn_as_a_target(
    units: Store, length: int, overlap: int, begin: int | None, go_on: bool
) -> None:
    overlap = min(overlap, length - 1)
    windows = TokenWindows(units, length, overlap=overlap, begin=begin)
    packed = PackedWindows(windows, positions_go_on=go_on)
    stream = stream_of(units, None, separator=NUM_UNITS, begin=begin)
    ends = np.flatnonzero(stream == NUM_UNITS) + 1
    starts = np.concatenate([[0], ends[:-1]])
    document = np.repeat(np.arange(len(units)), ends - starts)
    turns = np.zeros(len(stream), int)
    for index in range(len(windows)):
        item = packed[index]
        assert torch.equal(item.tokens, windows[index])
        first = index * (length - overlap)
        real = min(length, len(stream) - first)
        assert item.document_ids[:real].tolist() == document[first : first + real].tolist()
        assert item.document_ids[real:].tolist() == [-1] * (length - real)
        if go_on:
            positions = np.arange(len(stream)) - starts[document]
            assert item.positions[:real].tolist() == positions[first : first + real].tolist()
        else:
            begins = np.maximum(starts[document[first : first + real]], first)
            expected = np.arange(first, first + real) - begins
            assert item.positions[:real].tolist() == expected.tolist()
        assert item.positions[real:].tolist() == [*range(length - real)]
        targets = item.loss_mask.nonzero().reshape(-1)
        # each is predicted from a token of its own utterance that stands before it
        assert (item.document_ids[targets] == item.document_ids[targets - 1]).all()
        assert not len(targets) or targets.min() > 0
        turns[first + targets.numpy()] += 1
    # the first token of an utterance has nothing before it; without overlap, that of a window too
    never = set(starts.tolist())
    if not overlap:
        never |= set(range(0, len(stream), length))
    expected_turns = [int(place not in never) for place in range(len(stream))]
    assert turns.tolist() == expected_turns


def test_pads_of_delayed_codes_are_no_target_and_separators_are_in_each_codebook(
    codes: Store,
) -> None:
    windows = TokenWindows(codes, 1000, pattern="delayed", begin=NUM_UNITS + 3)
    item = PackedWindows(windows)[0]
    stream = stream_of(
        codes, "delayed", separator=NUM_UNITS, pad=NUM_UNITS + 1, begin=NUM_UNITS + 3
    )
    assert windows.numbers.pad == NUM_UNITS + 1
    expected = (stream != NUM_UNITS + 1) & (stream != NUM_UNITS + 3)
    assert item.loss_mask[:, : stream.shape[1]].tolist() == expected.tolist()
    assert not item.loss_mask[:, stream.shape[1] :].any()
    assert item.positions.shape == item.document_ids.shape == (1000,)


def test_lengths_of_sequences_add_up_to_a_batch(units: Store) -> None:
    packed = PackedWindows(TokenWindows(units, 29))
    sampler = WindowSampler(packed, seed=1)
    for batch in DataLoader(packed, batch_size=2, sampler=sampler, num_workers=1):
        assert isinstance(batch, PackedWindow)
        found = batch.cu_seqlens
        assert (found.dtype, found[0].item(), found[-1].item()) == (
            *(torch.int32, 0, batch.tokens.numel()),
        )
        lengths = []
        for row in batch.document_ids.tolist():
            runs = np.flatnonzero(np.diff(row, prepend=row[0] - 1, append=-9))
            lengths += np.diff(runs).tolist()
        assert found.diff().tolist() == lengths
        assert batch.max_seqlen == max(lengths)
        flat = batch.positions.reshape(-1)
        assert (flat[found[:-1].long()] == 0).all()


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_a_packed_window_gives_the_logits_of_each_utterance_alone(
    units: Store, implementation: str
) -> None:
    transformers = pytest.importorskip("transformers")
    windows = TokenWindows(units, 60, overlap=1)
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=windows.vocab_size,
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            attn_implementation=implementation,
        )
    ).eval()
    packed = PackedWindows(windows)
    batch: PackedWindow = next(iter(DataLoader(packed, batch_size=2)))
    added = {"sdpa": torch.bool, "eager": model.dtype}[implementation]
    inputs = collate_for_transformers([packed[0], packed[1]], mask_dtype=added)
    with torch.inference_mode():
        logits = model(**inputs)
        tokens = batch.tokens.reshape(-1)
        bounds = batch.cu_seqlens.tolist()
        assert len(bounds) > 8
        losses = []
        for start, stop in pairwise(bounds):
            alone = model(tokens[None, start:stop]).logits[0]
            torch.testing.assert_close(
                logits.logits.reshape(len(tokens), -1)[start:stop], alone, atol=1e-5, rtol=1e-4
            )
            targets = batch.labels.reshape(-1)[start + 1 : stop]
            losses.append(torch.nn.functional.cross_entropy(alone[:-1], targets, reduction="sum"))
    # the loss that transformers computes is the mean over what the mask says
    mean = torch.stack(losses).sum() / batch.loss_mask.sum()
    torch.testing.assert_close(logits.loss, mean, atol=1e-5, rtol=1e-5)


def test_plain_windows_are_no_batch_for_transformers(units: Store) -> None:
    with pytest.raises(ConfigError, match=r"those of PackedWindows .*, got Tensor"):
        collate_for_transformers([TokenWindows(units, 9)[0]])  # type: ignore[list-item]


def test_documents_are_packed_as_transformers_packs_them(units: Store) -> None:
    transformers = pytest.importorskip("transformers")
    stream = stream_of(units, None, separator=NUM_UNITS)
    item = PackedWindows(TokenWindows(units, len(stream)))[0]
    ends = (np.flatnonzero(stream == NUM_UNITS) + 1).tolist()
    documents = [part.tolist() for part in np.split(stream, ends[:-1])]
    theirs: dict[str, Any] = transformers.DataCollatorWithFlattening(return_flash_attn_kwargs=True)(
        [{"input_ids": one} for one in documents]
    )
    assert torch.equal(item.tokens[None], theirs["input_ids"])
    assert torch.equal(item.positions[None], theirs["position_ids"])
    assert torch.equal(item.labels[None], theirs["labels"])
    assert torch.equal(item.cu_seqlens, theirs["cu_seq_lens_q"])
    assert (item.cu_seqlens.dtype, item.max_seqlen) == (
        theirs["cu_seq_lens_q"].dtype,
        theirs["max_length_q"],
    )


def test_several_packed_windows_are_read_at_once(units: Store) -> None:
    packed = PackedWindows(TokenWindows(units, 9))
    whole = next(iter(DataLoader(packed, batch_size=len(packed))))
    for one, other in zip(packed[:], whole, strict=True):
        assert torch.equal(one, other)
    assert [part.shape for part in packed[3:3]] == [(0, 9)] * 4


def test_packed_windows_are_found_by_what_finds_windows(units: Store) -> None:
    packed = PackedWindows(TokenWindows(units, 9))
    assert torch.equal(packed[-1].tokens, packed[np.int64(len(packed) - 1)].tokens)
    assert [*WindowSampler(packed)] == [*WindowSampler(packed.windows)]
    with pytest.raises(IndexError, match="expected an index within"):
        packed[len(packed)]
