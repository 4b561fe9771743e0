from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import safetensors.torch
import torch

from featbank.errors import ConfigError, WeightsError
from featbank.features.weights import sources
from featbank.features.weights.checkpoint import read_tensors, tensors_digest
from featbank.features.weights.loading import load_model
from featbank.features.weights.sources import Loaded
from featbank.files.provenance import file_sha256
from tests.features.checks import Payload


def build() -> torch.nn.Linear:
    return torch.nn.Linear(3, 2)


def no_download() -> torch.nn.Linear:
    raise AssertionError("nothing asked for a download")


SETTINGS = {
    "name": "LINEAR", "license": None, "weights_sha256": None, "seed": 0,
    "build": build, "download": no_download, "architecture": ["linear", 3, 2],
}  # fmt: skip


def loaded(weights: Any, sha256: str | None = None, **options: Any) -> Loaded[torch.nn.Linear]:
    if isinstance(weights, Path):
        weights = str(weights)
    return load_model(weights, **{**SETTINGS, "weights_sha256": sha256, **options})


def load(weights: Any, sha256: str | None = None, **options: Any) -> torch.nn.Linear:
    return loaded(weights, sha256, **options).model


SAVE: dict[str, Callable[[Any, Path], None]] = {
    "model.safetensors": safetensors.torch.save_file,
    "model.pt": torch.save,
    "model.pth": torch.save,
}


@pytest.mark.parametrize("name", SAVE)
def test_local_file_fills_the_model_with_its_tensors(name: str, tmp_path: Path) -> None:
    tensors = {"weight": torch.randn(2, 3), "bias": torch.randn(2)}
    SAVE[name](tensors, tmp_path / name)
    model = load(tmp_path / name, file_sha256(tmp_path / name))
    assert not model.training
    assert torch.equal(model.weight, tensors["weight"])
    assert torch.equal(model.bias, tensors["bias"])
    assert tensors_digest(model.state_dict()) == tensors_digest(tensors)
    assert all(tensor.data_ptr() % 64 == 0 for tensor in model.state_dict().values())


def test_sha256_in_capitals_is_the_same_sha256(tmp_path: Path) -> None:
    torch.save(build().state_dict(), tmp_path / "model.pt")
    load(tmp_path / "model.pt", file_sha256(tmp_path / "model.pt").upper())


def test_file_with_another_sha256_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"never parsed")
    with pytest.raises(WeightsError, match=f"expected sha256 {'0' * 64}, got {file_sha256(path)}"):
        load(path, "0" * 64)


def test_file_without_sha256_is_refused_with_the_digest_it_has(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(build().state_dict(), path)
    with pytest.raises(ConfigError, match=f"set weights_sha256: {file_sha256(path)}"):
        load(path)


@pytest.mark.parametrize(
    ("weights", "got"), [(None, "null"), (False, "False"), (["a"], r"\['a'\]")]
)
def test_weights_that_are_no_text_are_refused_with_the_three_ways(weights: Any, got: str) -> None:
    message = (
        f"weights: expected download, random or the path of a local file, got {got}; there are"
    )
    with pytest.raises(ConfigError, match=message) as caught:
        load(weights)
    for words in ("weights_sha256", "a network", "weights: random"):
        assert words in str(caught.value)


def test_missing_file_says_the_three_ways(tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        load(tmp_path / "absent.pt", "0" * 64)
    for words in ("no such file", "weights_sha256", "a network", "weights: random"):
        assert words in str(caught.value)


@pytest.mark.parametrize("weights", ["download", "random"])
def test_sha256_without_a_file_is_refused(weights: str) -> None:
    with pytest.raises(ConfigError, match="weights_sha256: null"):
        load(weights, "0" * 64)


def test_pickle_that_runs_code_is_refused_and_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # not even where torch is told to trust all that does not say otherwise
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    torch.save({"weight": Payload()}, "model.pt")
    with pytest.raises(WeightsError, match="expected a file of tensors, and nothing else"):
        load("model.pt", file_sha256("model.pt"))
    Path("plain.pt").write_bytes(pickle.dumps(Payload(), protocol=2))
    with pytest.raises(WeightsError, match="a file of tensors, and nothing else"):
        load("plain.pt", file_sha256("plain.pt"))
    assert not Path("ran").exists()


@pytest.mark.parametrize("name", SAVE)
@pytest.mark.parametrize("kept", [0, 7, 200])
def test_truncated_file_is_a_weights_error(name: str, kept: int, tmp_path: Path) -> None:
    path = tmp_path / name
    SAVE[name](build().state_dict(), path)
    path.write_bytes(path.read_bytes()[:kept] if kept < 200 else path.read_bytes()[:-5])
    with pytest.raises(WeightsError, match="expected a file of tensors, and nothing else"):
        load(path, file_sha256(path))


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"weight": torch.zeros(2, 3)}, "expected the tensors of this model.*bias"),
        ({**build().state_dict(), "more": torch.zeros(1)}, "Unexpected.*more"),
        ({"weight": torch.zeros(3, 3), "bias": torch.zeros(2)}, "size mismatch for weight"),
        ({"weight": torch.zeros(2, 3).half(), "bias": torch.zeros(2)}, "expected float32.*float16"),
        ({"model": build().state_dict()}, "a state dict: tensors by name.*OrderedDict among model"),
        ([torch.zeros(2)], "a state dict: tensors by name, got list"),
    ],
)
def test_tensors_that_do_not_fit_the_model_are_refused(
    tensors: Any, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.pt"
    torch.save(tensors, path)
    with pytest.raises(WeightsError, match=message):
        load(path, file_sha256(path))


def test_tensors_the_model_has_no_place_for_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({**build().state_dict(), "aux.weight": torch.zeros(1)}, path)
    load(path, file_sha256(path), unused=("aux.",))


def test_random_weights_follow_the_seed_and_leave_the_global_state_alone() -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first, again, other = loaded("random"), loaded("random"), loaded("random", seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.model.weight, again.model.weight)
    assert not torch.equal(first.model.weight, other.model.weight)
    assert not first.model.training


def test_random_weights_are_named_by_what_draws_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def name(**options: Any) -> str:
        return loaded("random", **options).weights().digest

    names = [
        name(),
        name(seed=1),
        name(architecture=["linear", 3, 3]),
        name(libraries=["torchaudio"]),
    ]
    assert name() == names[0]
    monkeypatch.setattr(sources, "package_versions", lambda names: dict.fromkeys(names, "9.9"))
    names.append(name())
    assert len(set(names)) == len(names)


def test_downloaded_model_is_in_eval_mode() -> None:
    assert not load("download", download=lambda: build().train()).training


def test_download_that_fails_says_the_three_ways() -> None:
    def offline() -> torch.nn.Linear:
        raise URLError("no route")

    with pytest.raises(WeightsError) as caught:
        load("download", download=offline)
    for words in ("no route", "weights_sha256", "a network", "weights: random"):
        assert words in str(caught.value)


def test_damaged_download_says_where_to_delete_it() -> None:
    def damaged() -> torch.nn.Linear:
        raise pickle.UnpicklingError("invalid load key")

    with pytest.raises(WeightsError, match=r"invalid load key; delete it from .*checkpoints"):
        load("download", download=damaged)


def test_digest_depends_on_name_dtype_shape_and_bytes() -> None:
    tensor = torch.arange(6, dtype=torch.float32)
    others = [
        {"b": tensor},
        {"a": tensor.view(torch.int32)},
        {"a": tensor.reshape(2, 3)},
        {"a": tensor + 1},
        {"a": tensor, "b": torch.zeros(0)},
    ]
    digests = [tensors_digest(tensors) for tensors in ({"a": tensor}, *others)]
    assert len(set(digests)) == len(digests)
    strided = torch.stack([tensor, tensor], dim=1)[:, 0]
    assert tensors_digest({"a": strided}) == digests[0]


def test_read_tensors_refuses_a_folder(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="expected download, random or the path"):
        load(tmp_path, "0" * 64)


def _twice(folder: Path) -> list[Path]:
    for name in ("a.safetensors", "b.safetensors"):
        safetensors.torch.save_file({"same": torch.zeros(1)}, folder / name)
    return [folder / "a.safetensors", folder / "b.safetensors"]


def test_a_tensor_that_two_files_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="each tensor in one file, got same in two"):
        read_tensors(_twice(tmp_path))


STORED = {
    "half": torch.arange(6).reshape(2, 3).half(),
    "scalar": torch.tensor(2.5),
    "empty": torch.zeros(0, 4),
    "bits": torch.tensor([True, False]),
    "brain": torch.ones(3, dtype=torch.bfloat16),
    "strided": torch.arange(12.0).reshape(3, 4).T,
    "count": torch.tensor(7),
}


def test_the_same_tensors_in_any_file_have_one_digest(tmp_path: Path) -> None:
    contiguous = {name: tensor.contiguous() for name, tensor in STORED.items()}
    whole, pickled, old = (tmp_path / name for name in ("a.safetensors", "a.bin", "a.pt"))
    safetensors.torch.save_file(contiguous, whole, {"format": "pt", "by": "anybody"})
    torch.save(STORED, pickled)
    torch.save(STORED, old, _use_new_zipfile_serialization=False)
    names = sorted(STORED)
    for part, some in enumerate((names[3:], names[:3])):
        tensors = {name: contiguous[name] for name in some}
        safetensors.torch.save_file(tensors, tmp_path / f"{part}.safetensors")
    parts = [tmp_path / "0.safetensors", tmp_path / "1.safetensors"]
    files = ([whole], [pickled], [old], parts, parts[::-1])
    assert {tensors_digest(read_tensors(paths)) for paths in files} == {tensors_digest(STORED)}


def test_a_weight_norm_is_one_whichever_of_torchs_names_it_has() -> None:
    g, v = torch.ones(2, 1), torch.ones(2, 3)
    new = {"a.parametrizations.weight.original0": g, "a.parametrizations.weight.original1": v}
    assert tensors_digest(new) == tensors_digest({"a.weight_g": g, "a.weight_v": v})
    assert tensors_digest(new) != tensors_digest({"a.weight_v": g, "a.weight_g": v})
