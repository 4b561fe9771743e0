"""Reduction on a device: the very bits of the host's way, or a word that the host must look."""

from __future__ import annotations

import functools
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from featbank.engine.device.frame_sums import frame_sums
from featbank.engine.device.narrowing import Narrowing
from featbank.engine.device.reduction import FeatureReduction, Reduced, TokenReduction
from featbank.engine.feature_worker import encode
from featbank.errors import AudioError
from featbank.feature_io import PackedStorage
from featbank.features.base import Output
from featbank.numerics import Computing
from featbank.store import find_encoding, open_store
from featbank.tokenizers.codebook import Codebook
from featbank.tokenizers.sure import SureAssignment
from featbank.tokenizers.token_stores import TokenStores
from tests.engine.test_direct import Project

pytestmark = pytest.mark.usefixtures("one_thread")

DTYPES = ["float32", "float16", "bfloat16", "int8_scaled"]
COUNTS = [7, 1, 9, 4]  # frames of each row, of 9


def _values(kind: torch.dtype, shape: tuple[int, ...]) -> torch.Tensor:
    """Values of all magnitudes that a store may hold, with a dimension of zeros."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(len(COUNTS), 9, *shape, generator=generator)
    values *= 10 ** (6 * torch.rand(values.shape, generator=generator) - 4)
    values[..., 0] = 0
    values[0, 0, ..., -1] = 6e-8  # below the normal numbers of float16
    return values.to(kind)


@pytest.mark.parametrize(
    "size", [*range(1, 40), 96, 127, 128, 129, 136, 300, 768, 1024, 9984, 9985]
)
def test_sums_of_frames_are_those_of_numpy_bit_for_bit(size: int) -> None:
    values = np.random.default_rng(size).lognormal(sigma=6, size=(3, size))
    assert np.array_equal(frame_sums(torch.from_numpy(values)).numpy(), values.sum(axis=1))


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("shape", [(1,), (20,), (3, 130)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_padded_batch_is_narrowed_to_what_the_host_stores_of_each_row(
    dtype: str, shape: tuple[int, ...], kind: torch.dtype
) -> None:
    values = _values(kind, shape)
    valid = torch.arange(9) < torch.tensor(COUNTS).unsqueeze(1)
    values[~valid] = float("nan")  # padding has no meaning
    narrow = Narrowing(Output(shape), dtype)
    narrowed = narrow(values, valid)
    assert not narrowed.is_bad.any()
    for row, count in enumerate(COUNTS):
        own = values[row, :count]
        host = own.numpy() if kind is torch.float64 else own.float().numpy()
        expected = find_encoding(dtype).encode(host, "a row")
        for found in (
            narrowed.encoded(row, count, dtype),
            narrow(own.unsqueeze(0), None).encoded(0, count, dtype),
        ):
            assert found.stored.dtype == expected.stored.dtype
            assert found.stored.tobytes() == expected.stored.tobytes()
            assert found[2:] == expected[2:]
            assert (found.scale is None) == (expected.scale is None)
            if expected.scale is not None and found.scale is not None:
                assert found.scale.tobytes() == expected.scale.tobytes()
        back = narrow.widened(narrowed)[row, :count].numpy()
        stored = find_encoding(dtype).decode(expected.stored, expected.scale)
        assert np.array_equal(back, stored.astype(np.float32))


def test_values_are_narrowed_in_parts_of_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    values = _values(torch.float32, (20,))
    narrow = Narrowing(Output((20,)), "int8_scaled")
    whole = narrow(values, None)
    monkeypatch.setattr("featbank.engine.device.narrowing._AT_ONCE", 200)
    for one, other in zip(narrow(values, None), whole, strict=True):
        assert isinstance(one, torch.Tensor)
        assert isinstance(other, torch.Tensor)
        assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", DTYPES)
def test_features_may_give_more_frames_than_one_another_behind_the_longest_row(dtype: str) -> None:
    short = _values(torch.float32, (20,))
    longer = torch.nn.functional.pad(short, (0, 0, 0, 3), value=torch.nan)
    names = ("short", "longer")
    reduction = FeatureReduction(
        dict.fromkeys(names, Output((20,))),
        {name: PackedStorage(name=name, dtype=dtype) for name in names},
    )
    valid = torch.arange(12) < torch.tensor(COUNTS).unsqueeze(1)
    reduced = reduction.reduce({"short": short, "longer": longer}, valid)
    for row, count in enumerate(COUNTS):
        found = reduction.row(reduced, row, count, nullcontext())
        assert found is not None
        assert found["short"].checksum == found["longer"].checksum


def test_float64_is_rounded_to_float16_once() -> None:
    middle = 1 + 2**-11  # of 1 and the next
    values = [middle + 2**-40, middle - 2**-40, middle, 65519.999999, 2**-25 * (1 + 2**-40), 0.0]
    values = torch.tensor([*values, *(-one for one in values)], dtype=torch.float64).view(1, 1, -1)
    narrowed = Narrowing(Output((12,)), "float16")(values, None)
    assert narrowed.stored.numpy().tobytes() == values.numpy().astype(np.float16).tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e5, 3.39e38, -1e300])
def test_a_row_that_the_host_refuses_is_told_and_none_of_its_mates(
    dtype: str, value: float
) -> None:
    values = _values(torch.float64 if abs(value) == 1e300 else torch.float32, (20,))
    values[2, 8, 19] = value
    values[3, 4:] = value  # behind its end
    valid = torch.arange(9) < torch.tensor(COUNTS).unsqueeze(1)
    narrowed = Narrowing(Output((20,)), dtype)(values, valid)
    try:
        with np.errstate(over="ignore"):
            encode(values[2].numpy(), dtype, "feature", _Row())
    except AudioError:
        expected = [False, False, True, False]
    else:
        expected = [False] * 4
    assert narrowed.is_bad.tolist() == expected


class _Row:
    audio = "a.wav"


@pytest.mark.parametrize(("codebook_size", "dtype"), [(900, "uint16"), (None, "float16")])
def test_what_is_stored_lies_as_it_is_written_however_the_batch_lies(
    codebook_size: int | None, dtype: str
) -> None:
    values = torch.arange(2 * 4 * 5).view(2, 4, 5).mT  # codebooks first, seen from the side
    values = values if codebook_size else values.float()
    narrowed = Narrowing(Output((4,), codebook_size), dtype)(values, None)
    for row in range(2):
        encoded = narrowed.encoded(row, 3, dtype)
        assert encoded.stored.flags.c_contiguous
        assert encoded.stored.tolist() == values[row, :3].tolist()


@pytest.mark.parametrize(("value", "is_bad"), [(0, False), (699, False), (700, True), (-1, True)])
@pytest.mark.parametrize("dtype", ["uint16", "int32"])
def test_codes_outside_of_their_codebook_are_told(dtype: str, value: int, is_bad: bool) -> None:
    codes = torch.randint(0, 700, (2, 9, 3))
    codes[1, 4, 2] = value
    codes[0, 8] = 5_000
    valid = torch.arange(9) < torch.tensor([[8], [9]])
    narrowed = Narrowing(Output((3,), 700), dtype)(codes, valid)
    assert narrowed.is_bad.tolist() == [False, is_bad]
    stored = narrowed.encoded(0, 8, dtype).stored
    assert stored.dtype == np.dtype(dtype)
    assert np.array_equal(stored, codes[0, :8].numpy())


@functools.cache
def _frames_and_codebook(shape: tuple[int, ...]) -> tuple[np.ndarray, Codebook]:
    """Frames, every fourth of them as near to one centroid as to another but for the last bits."""
    chance = np.random.default_rng(0)
    centroids = chance.normal(size=shape).astype(np.float32) + 2
    book = centroids.reshape(-1, *shape[-2:])[0]
    one, other = chance.integers(0, len(book), (2, 3_000))
    frames = book[one] + 0.4 * chance.normal(size=(3_000, shape[-1]))
    frames[::4] = (book[one[::4]] + book[other[::4]]) / 2
    return frames.astype(np.float32), Codebook(centroids=centroids)


@pytest.mark.parametrize("shape", [(50, 16), (300, 96), (1, 8), (3, 40, 24)])
def test_units_that_are_sure_are_those_of_the_cpu(shape: tuple[int, ...]) -> None:
    frames, codebook = _frames_and_codebook(shape)
    found = SureAssignment(codebook, torch.device("cpu"))(torch.from_numpy(frames))
    expected = codebook.assign(frames).reshape(len(frames), -1)
    is_sure = found.is_sure.numpy()
    assert np.array_equal(found.units.numpy()[is_sure], expected[is_sure])
    assert is_sure.mean() > 0.7
    if codebook.num_clusters > 1:
        assert is_sure[::4].mean() < 0.5 < is_sure[1::4].mean()


@pytest.mark.parametrize("shape", [(300, 96), (3, 40, 24)])
def test_frames_too_close_to_call_get_the_unit_that_the_cpu_gives(shape: tuple[int, ...]) -> None:
    frames, codebook = _frames_and_codebook(shape)
    reduction = TokenReduction(
        Output((shape[-1],)), PackedStorage("one", "float16"), _stores(codebook), "cpu"
    )
    padded = torch.zeros(2, 2_600, shape[-1])
    padded[0], padded[1, :400] = torch.from_numpy(frames[:2_600]), torch.from_numpy(frames[2_600:])
    valid = torch.arange(2_600) < torch.tensor([[2_600], [400]])
    reduced = reduction.reduce({"one": padded}, valid)
    rounded = frames.astype(np.float16).astype(np.float32)
    for row, own in enumerate((rounded[:2_600], rounded[2_600:])):
        tokens = reduction.row(reduced, row, len(own), nullcontext())
        assert tokens is not None
        assert np.array_equal(tokens["units"].stored, codebook.assign(own))


def test_only_frames_too_close_to_call_come_back_from_the_device() -> None:
    frames, codebook = _frames_and_codebook((300, 96))
    reduction = TokenReduction(
        Output((96,)), PackedStorage("one", "float32"), _stores(codebook), "cpu"
    )
    reduced = reduction.reduce({"one": torch.from_numpy(frames[1:400:4]).unsqueeze(0)}, None)
    assert reduced.leaving["one", "is_sure"].all()
    tokens = reduction.row(Reduced(reduced.leaving, None), 0, 100, nullcontext())
    assert tokens is not None
    assert np.array_equal(tokens["units"].stored, codebook.assign(frames[1:400:4]))


def _stores(codebook: Codebook) -> TokenStores:
    return TokenStores(codebook=codebook)


@pytest.mark.parametrize("merge_repeats", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_tokens_from_batches_are_those_of_two_steps(
    dtype: str, merge_repeats: bool, demo_corpus: Path, tmp_path: Path
) -> None:
    project = Project(Path(shutil.copytree(demo_corpus, tmp_path / "corpus")), dtype)
    settings: dict[str, Any] = {
        "extractor": {"_target_": "tests.device_stub.SpectrumStub"},
        "trusted_modules": ["tests"],
    }
    expected = project.two_steps(merge_repeats, **settings)
    together = Computing(batch_s=15, num_decoders=2)
    out, _ = project.direct(merge_repeats, computing=together, **settings)
    for name in ("units", *(["durations"] if merge_repeats else [])):
        for split in ("train", "dev", "test"):
            found = _rows(out / name / split)
            assert found == _rows(expected / name / split)
            assert found


def test_tokens_of_an_encoder_are_those_of_its_batches_in_a_store(
    demo_corpus: Path, tmp_path: Path
) -> None:
    """An encoder gives other last bits in batches: both ways compute in them."""
    project = Project(Path(shutil.copytree(demo_corpus, tmp_path / "corpus")), "float16")
    settings: dict[str, Any] = {
        "extractor": {"_target_": "tests.tiny_encoder.TinyEncoder", "layers": {"mfcc": 2}},
        "trusted_modules": ["tests"],
        "computing": Computing(batch_s=15, num_decoders=2),
    }
    expected = project.two_steps(**settings)
    out, tally = project.direct(**settings)
    assert tally.num_computed == 38
    for split in ("train", "dev", "test"):
        assert _rows(out / "units" / split) == _rows(expected / "units" / split)


def _rows(store: Path) -> dict[str, bytes]:
    opened = open_store(store)
    return {name: np.asarray(opened[name]).tobytes() for name in opened}
