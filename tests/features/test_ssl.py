from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchaudio.pipelines
from torchaudio.pipelines import Wav2Vec2ASRBundle, Wav2Vec2Bundle

from featbank.errors import AudioError, ConfigError, WeightsError
from featbank.features.base import AudioBatch, Output
from featbank.features.encoders.bundles import architecture, find_bundle
from featbank.features.encoders.ssl import SslEncoder
from featbank.features.precision import check_device
from featbank.features.shapes import BatchShape
from featbank.features.weights.checkpoint import tensors_digest
from featbank.features.weights.licenses import LICENSES
from featbank.files.provenance import file_sha256
from tests.features.checks import (
    Payload,
    assert_batch_mates_change_no_bit,
    boundary_lengths,
    compute,
    compute_pieces,
    joined,
)
from tests.tiny_encoder import KINDS, TinyEncoder
from tests.waiting import HANG_S

LAYERS = {"low": 1, "middle": 4, "again": 4}
PUBLISHED = {
    name: bundle
    for name in torchaudio.pipelines.__all__
    if isinstance(bundle := getattr(torchaudio.pipelines, name), Wav2Vec2Bundle)
}


@pytest.fixture(scope="module")
def wavlm() -> SslEncoder:
    return SslEncoder(bundle="WAVLM_BASE", layers=LAYERS, weights="random", license="MIT")


@pytest.fixture(scope="module")
def wavlm_file(wavlm: SslEncoder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same weights as a file such as torchaudio publishes, in a cache like torch.hub's."""
    path = tmp_path_factory.mktemp("torch") / "hub" / "checkpoints" / "wavlm_base.pth"
    path.parent.mkdir(parents=True)
    torch.save(wavlm._model.state_dict(), path)
    yield path
    path.unlink()


@pytest.fixture
def tiny(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bundle of a thousandth of the size, else like a large model; fine-tuned if so asked."""
    kind = getattr(request, "param", Wav2Vec2Bundle)
    large = torchaudio.pipelines.WAV2VEC2_LARGE_LV60K
    params = {
        **large._params,
        "extractor_conv_layer_config": [(16, 10, 5), (16, 3, 2), (16, 2, 2)],
        "encoder_embed_dim": 16,
        "encoder_num_layers": 3,
        "encoder_num_heads": 2,
        "encoder_ff_interm_features": 32,
        "encoder_pos_conv_groups": 4,
    }
    extra: dict[str, Any] = {}
    if kind is Wav2Vec2ASRBundle:
        params["aux_num_out"] = 29
        extra["_labels"] = torchaudio.pipelines.WAV2VEC2_ASR_BASE_960H._labels
    bundle = kind(
        _path="tiny.pth",
        _params=params,
        _sample_rate=16000,
        _normalize_waveform=True,
        _model_type="Wav2Vec2",
        **extra,
    )
    monkeypatch.setattr(torchaudio.pipelines, "TINY", bundle, raising=False)
    return "TINY"


def test_features_equal_torchaudios_own_for_the_same_weights(
    wavlm: SslEncoder, wavlm_file: Path, speech: dict[str, torch.Tensor]
) -> None:
    model = torchaudio.pipelines.WAVLM_BASE.get_model(
        dl_kwargs={"model_dir": str(wavlm_file.parent), "weights_only": True}
    )
    for waveform in list(speech.values())[:2]:
        ours = compute(wavlm, waveform)
        with torch.inference_mode():
            theirs, _ = model.extract_features(waveform.unsqueeze(0))
        for name, layer in LAYERS.items():
            assert ours[name].dtype == np.float32
            assert np.array_equal(ours[name], theirs[layer - 1][0].numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_every_choice_of_layers_is_torchaudios_own_alone_padded_and_in_windows(
    kind: str, speech: dict[str, torch.Tensor]
) -> None:
    layers = {"zero": 0, "one": 1, "three": 3, "final": "final", "all": "all", "mean": "uniform"}
    layers["mix"] = [0.0, 0.5, 0.25, 0.25]
    encoder, windowed = TinyEncoder(kind, layers=layers), TinyEncoder(kind, 1.0, 0.1, layers=layers)
    waveform = next(iter(speech.values()))[:16000]
    found = compute(encoder, waveform)
    if encoder._epsilon is not None:
        waveform = torch.nn.functional.layer_norm(waveform, waveform.shape)
    model = encoder._model
    with torch.inference_mode():
        states, _ = model.extract_features(waveform[None])
        final, _ = model(waveform[None])
    assert np.array_equal(found["one"], states[0][0].numpy())
    assert np.array_equal(found["three"], states[2][0].numpy())
    assert np.array_equal(found["final"], final[0].numpy())
    assert np.array_equal(found["three"], found["final"]) == kind.endswith("base")
    every = np.stack([found["zero"], *(state[0].numpy() for state in states)], axis=1)
    assert np.array_equal(found["all"], every)
    assert np.abs(found["mean"] - every.mean(axis=1)).max() < 1e-6
    assert np.abs(found["mix"] - np.average(every, axis=1, weights=layers["mix"])).max() < 1e-6
    with torch.inference_mode():
        first, _ = model.encoder.transformer.layers[0](torch.from_numpy(found["zero"][None]))
    assert np.abs(first[0].numpy() - found["one"]).max() < 1e-5

    whole = torch.cat(list(speech.values()))[:40_000]
    alone, pieces = compute(encoder, whole), compute_pieces(windowed, whole)
    batch = AudioBatch(ids=["a"], waveforms=[whole], shape=BatchShape(rows=2, samples=50_000))
    [padded] = encoder.compute_features(batch, "train")
    for name, output in encoder.outputs.items():
        assert np.abs(padded[name] - alone[name]).max() < 1e-5 * max(1.0, np.abs(alone[name]).max())
        assert joined(pieces, name).shape == (encoder.framing.num_frames(40_000), *output.shape)


def test_bfloat16_is_near_float32_alone_padded_and_in_windows_and_float16_needs_a_gpu(
    speech: dict[str, torch.Tensor],
) -> None:
    waveform = next(iter(speech.values()))[:16000]
    batch = AudioBatch(ids=["a"], waveforms=[waveform], shape=BatchShape(rows=2, samples=20_000))
    for kind in KINDS:
        float32, bfloat16 = (
            TinyEncoder(kind, 0.9, 0.4, precision=one, width=32, positional_groups=1)
            for one in ("float32", "bfloat16")
        )
        exact, near = (
            [
                compute(encoder, waveform),
                *encoder.compute_features(batch, "train"),
                {name: joined(compute_pieces(encoder, waveform), name) for name in encoder.outputs},
            ]
            for encoder in (float32, bfloat16)
        )
        for expected, found in zip(exact, near, strict=True):
            for name in bfloat16.outputs:
                assert found[name].dtype == np.float32
                difference = found[name] - expected[name]
                assert np.abs(difference).max() > 1e-5
                assert np.sqrt((difference**2).mean()) < 0.03 * expected[name].std()
        with pytest.raises(ConfigError, match="precision: float16: expected a GPU, got a CPU"):
            compute(TinyEncoder(kind, precision="float16"), waveform)


def test_bfloat16_is_refused_where_some_cpus_compute_other_values(
    speech: dict[str, torch.Tensor],
) -> None:
    """On a CPU with AMX, torch 2.14 gives others of 8 channels a group and a kernel of 128."""
    narrow = TinyEncoder(precision="bfloat16", width=32)
    with pytest.raises(ConfigError, match="at least 32, got 8 in encoder"):
        compute(narrow, next(iter(speech.values())))


@pytest.mark.parametrize("bundle", PUBLISHED)
def test_published_encoders_are_as_wide_as_every_cpu_needs_for_bfloat16(bundle: str) -> None:
    with torch.device("meta"):
        model = architecture(find_bundle(bundle)).build()
    check_device("bfloat16", torch.device("cpu"), model)


def test_several_names_fill_from_one_pass_that_stops_at_the_deepest_layer(
    wavlm: SslEncoder, speech: dict[str, torch.Tensor]
) -> None:
    ran: list[int] = []
    hooks = [
        layer.register_forward_hook(lambda *_, number=number: ran.append(number))
        for number, layer in enumerate(wavlm._model.encoder.transformer.layers, start=1)
    ]
    features = compute(wavlm, next(iter(speech.values())))
    for hook in hooks:
        hook.remove()
    assert ran == [1, 2, 3, 4]
    assert list(features) == ["id", *LAYERS]
    assert np.array_equal(features["middle"], features["again"])
    assert not np.array_equal(features["low"], features["middle"])
    assert wavlm.outputs == dict.fromkeys(["low", "middle", "again"], Output((768,)))


def test_rows_do_not_depend_on_batch_mates(
    wavlm: SslEncoder, speech: dict[str, torch.Tensor]
) -> None:
    waveforms = {id: waveform[:32000] for id, waveform in list(speech.items())[:3]}  # noqa: A001
    waveforms["short"] = waveforms[next(iter(waveforms))][:9999]
    assert_batch_mates_change_no_bit(wavlm, waveforms)


def test_bits_do_not_depend_on_how_the_caller_aligned_the_waveform(
    wavlm: SslEncoder, speech: dict[str, torch.Tensor]
) -> None:
    waveform = next(iter(speech.values()))[:16000]
    buffer = torch.empty(len(waveform) + 1)
    buffer[1:] = waveform
    assert np.array_equal(compute(wavlm, buffer[1:])["middle"], compute(wavlm, waveform)["middle"])


def test_frame_grid_is_that_of_the_convolutions_around_every_boundary(
    wavlm: SslEncoder, speech: dict[str, torch.Tensor]
) -> None:
    framing = wavlm.framing
    assert (framing.window_length, framing.hop_length, framing.frame_rate) == (400, 320, 50.0)
    assert framing.first_frame_center_s == 0.0125
    waveform = next(iter(speech.values()))
    for num_samples in boundary_lengths(400, 320):
        rows = wavlm._model.feature_extractor(waveform[None, :num_samples], None)[0].shape[1]
        assert len(compute(wavlm, waveform[:num_samples])["low"]) == rows
        assert rows == 1 + (num_samples - 400) // 320


def test_waveform_too_short_for_a_frame_is_an_audio_error(wavlm: SslEncoder) -> None:
    with pytest.raises(AudioError, match="expected 400 samples at 16000 Hz, got 399"):
        compute(wavlm, torch.zeros(399))


def test_random_weights_are_marked_and_give_the_same_bits_every_time(
    tiny: str, wavlm: SslEncoder, speech: dict[str, torch.Tensor]
) -> None:
    assert (wavlm.weights.source, wavlm.weights.license) == ("random", "")
    waveform = next(iter(speech.values()))
    state = torch.get_rng_state()
    encoders = [
        SslEncoder(bundle=tiny, layers={"a": 3}, weights="random", seed=seed) for seed in (0, 0, 1)
    ]
    assert torch.equal(torch.get_rng_state(), state)
    first, again, other = (compute(encoder, waveform)["a"] for encoder in encoders)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert encoders[0].weights == encoders[1].weights != encoders[2].weights


def test_local_file_and_download_give_the_weights_and_the_digest_they_were_made_from(
    wavlm: SslEncoder,
    wavlm_file: Path,
    speech: dict[str, torch.Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waveform = next(iter(speech.values()))[:16000]
    expected = compute(wavlm, waveform)["low"]
    # the bundle's own download finds its file in the cache
    monkeypatch.setattr(torch.hub, "_hub_dir", str(wavlm_file.parents[1]))
    sha256 = file_sha256(wavlm_file)
    for source, settings in (
        ("file", {"weights": str(wavlm_file), "weights_sha256": sha256}),
        ("download", {"weights": "download"}),
    ):
        encoder = SslEncoder(bundle="WAVLM_BASE", layers={"low": 1}, license="MIT", **settings)
        assert encoder.weights.source == source
        assert encoder.weights.digest == tensors_digest(wavlm._model.state_dict())
        assert encoder.weights.license == "MIT"
        assert np.array_equal(compute(encoder, waveform)["low"], expected)


def test_file_of_another_architecture_is_refused(tiny: str, wavlm_file: Path) -> None:
    with pytest.raises(WeightsError, match=r"the tensors of this model.*the bundle and"):
        SslEncoder(
            bundle=tiny,
            layers={"a": 1},
            weights=str(wavlm_file),
            weights_sha256=file_sha256(wavlm_file),
        )


@pytest.mark.parametrize("tiny", [Wav2Vec2Bundle, Wav2Vec2ASRBundle], indirect=True)
def test_waveform_is_normalised_where_the_bundle_says_so_and_a_letter_head_is_left_out(
    tiny: str,
    speech: dict[str, torch.Tensor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = SslEncoder(bundle=tiny, layers={"a": 3}, weights="random")
    bundle = getattr(torchaudio.pipelines, tiny)
    tensors = dict(made._model.state_dict())
    if isinstance(bundle, Wav2Vec2ASRBundle):
        # as published: rows 1 to 3 are fairseq's, which torchaudio removes
        tensors |= {"aux.weight": torch.zeros(32, 16), "aux.bias": torch.zeros(32)}
    path = tmp_path / "checkpoints" / "tiny.pth"
    path.parent.mkdir()
    torch.save(tensors, path)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    model = bundle.get_model()
    for settings in (
        {"weights": "download"},
        {"weights": str(path), "weights_sha256": file_sha256(path)},
    ):
        encoder = SslEncoder(bundle=tiny, layers={"a": 2, "b": 3}, **settings)
        assert encoder.weights.digest == tensors_digest(made._model.state_dict())
        assert (encoder.framing.window_length, encoder.framing.hop_length) == (30, 20)
        for waveform in speech.values():
            with torch.inference_mode():
                theirs, _ = model.extract_features(waveform.unsqueeze(0))
            assert np.array_equal(compute(encoder, waveform)["b"], theirs[2][0].numpy())


@pytest.mark.parametrize("tiny", [Wav2Vec2Bundle, Wav2Vec2ASRBundle], indirect=True)
def test_downloaded_pickle_that_runs_code_is_refused_and_does_not_run(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    path = tmp_path / "checkpoints" / "tiny.pth"
    path.parent.mkdir()
    torch.save({"aux.weight": Payload()}, path)
    with pytest.raises(WeightsError, match="the downloaded file cannot be used"):
        SslEncoder(bundle=tiny, layers={"a": 1}, weights="download")
    path.write_bytes(pickle.dumps(Payload(), protocol=2))
    with pytest.raises(WeightsError, match="the downloaded file cannot be used"):
        SslEncoder(bundle=tiny, layers={"a": 1}, weights="download")
    assert not Path("ran").exists()


@pytest.mark.parametrize("weights", ["download", "random", "file"])
def test_dropout_is_off_whatever_the_weights_come_from(
    weights: str, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = SslEncoder(bundle=tiny, layers={"a": 3}, weights="random")
    path = tmp_path / "checkpoints" / "tiny.pth"
    path.parent.mkdir()
    torch.save(random._model.state_dict(), path)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    settings = {"weights": weights}
    if weights == "file":
        settings = {"weights": str(path), "weights_sha256": file_sha256(path)}
    encoder = SslEncoder(bundle=tiny, layers={"a": 3}, **settings)
    assert not any(module.training for module in encoder._model.modules())
    waveform = torch.linspace(-1, 1, 4000)
    assert np.array_equal(compute(encoder, waveform)["a"], compute(encoder, waveform)["a"])


def test_license_of_every_bundle_is_the_one_torchaudio_documents() -> None:
    assert set(LICENSES) == set(PUBLISHED)
    for name, bundle in PUBLISHED.items():
        documented = " ".join(bundle.__doc__.split()).replace("CC-BY-NC", "CC BY-NC")
        assert re.search(rf" under \[?`?{re.escape(LICENSES[name])} ", documented), name
        assert ("BY-NC" in documented) == ("BY-NC" in LICENSES[name])


@pytest.fixture
def published(tiny: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The tiny bundle under the name of one with a licence against commerce: its file."""
    path = tmp_path / "checkpoints" / "tiny.pth"
    path.parent.mkdir()
    encoder = SslEncoder(bundle=tiny, layers={"a": 1}, weights="random")
    torch.save(encoder._model.state_dict(), path)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    bundle = getattr(torchaudio.pipelines, tiny)
    monkeypatch.setattr(torchaudio.pipelines, "VOXPOPULI_ASR_BASE_10K_DE", bundle)
    return path


def voxpopuli(**settings: Any) -> SslEncoder:
    return SslEncoder(bundle="VOXPOPULI_ASR_BASE_10K_DE", layers={"a": 1}, **settings)


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("stated", [None, "", "CC BY-NC 4.0", "cc-by-nc-4.0"])
def test_downloaded_weights_have_the_license_of_their_bundle(stated: str | None) -> None:
    assert voxpopuli(weights="download", license=stated).weights.license == "CC BY-NC 4.0"


@pytest.mark.parametrize("weights", ["download", "random"])
def test_license_that_contradicts_the_bundles_is_refused_before_weights_are_looked_for(
    weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "empty"))
    message = (
        "license of VOXPOPULI_ASR_BASE_10K_DE: expected CC BY-NC 4.0.*got MIT; set license: null"
    )
    with pytest.raises(ConfigError, match=message):
        voxpopuli(weights=weights, license="MIT")


@pytest.mark.parametrize(
    ("stated", "recorded"), [("MIT", "MIT"), ("bought", "bought"), (None, ""), ("", "")]
)
def test_license_of_a_local_file_is_what_the_user_states(
    stated: str | None, recorded: str, published: Path
) -> None:
    encoder = voxpopuli(
        weights=str(published), weights_sha256=file_sha256(published), license=stated
    )
    assert (encoder.weights.source, encoder.weights.license) == ("file", recorded)


@pytest.mark.usefixtures("published")
def test_license_of_a_bundle_that_nobody_looked_up_is_what_the_user_states(tiny: str) -> None:
    for stated, recorded in (("mine", "mine"), (None, "")):
        encoder = SslEncoder(bundle=tiny, layers={"a": 1}, weights="download", license=stated)
        assert encoder.weights.license == recorded


def test_layer_called_id_is_refused_before_any_weights_are_looked_for() -> None:
    with pytest.raises(ConfigError, match="feature name: expected any but id"):
        SslEncoder(bundle="WAVLM_BASE", layers={"low": 1, "id": 2}, weights="nowhere.pt")


def test_weights_null_says_the_three_ways() -> None:
    with pytest.raises(
        ConfigError, match=r"weights: expected download, random or .*got null; there"
    ):
        SslEncoder(bundle="WAVLM_BASE", layers={"low": 1}, weights=None)  # type: ignore[arg-type]


def test_download_without_a_network_says_the_three_ways(tmp_path: Path) -> None:
    program = (
        "from featbank.errors import WeightsError\n"
        "from featbank.features.encoders.ssl import SslEncoder\n"
        "try:\n"
        "    SslEncoder(bundle='WAVLM_BASE', layers={'wavlm': 9}, weights='download')\n"
        "except WeightsError as error:\n"
        "    print(error)\n"
    )
    closed = "http://127.0.0.1:9"
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), closed)
    environment = {k: v for k, v in os.environ.items() if k.lower() != "no_proxy"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**environment, **proxies, "TORCH_HOME": str(tmp_path)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for words in (
        "download failed",
        "set weights to a local file and weights_sha256 to its digest",
        f"run where there is a network (downloads are kept in {tmp_path}/hub/checkpoints",
        "set weights: random for a dry run",
    ):
        assert words in done.stdout


def test_unknown_bundle_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ConfigError, match=r"HUBERT_BASE or .*WAVLM_BASE or .*got WAVLM_BAES"):
        SslEncoder(bundle="WAVLM_BAES", layers={"a": 1}, weights="random")
    # in torchaudio.pipelines, but no encoder
    with pytest.raises(ConfigError, match="bundle: expected HUBERT"):
        SslEncoder(bundle="Wav2Vec2Bundle", layers={"a": 1}, weights="random")


@pytest.mark.parametrize("layer", [-1, 13, 1.5, "9", True, [1, 2], "last"])
def test_layer_that_does_not_exist_is_refused_before_any_weights_are_looked_for(layer: Any) -> None:
    with pytest.raises(ConfigError, match="WAVLM_BASE: a: expected a layer from 0 to 12, all"):
        SslEncoder(bundle="WAVLM_BASE", layers={"a": layer}, weights="nowhere.pt")


def test_no_layer_at_all_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected feature name -> layer, such as"):
        SslEncoder(bundle="WAVLM_BASE", layers={}, weights="random")


def test_every_bundle_of_torchaudio_has_a_known_architecture() -> None:
    assert len(PUBLISHED) >= 30
    for name in PUBLISHED:
        # a missing file is the last thing to be noticed, so all that comes before it held
        with pytest.raises(WeightsError, match="no such file"):
            SslEncoder(bundle=name, layers={"a": 12}, weights="nowhere.pt")


@pytest.mark.slow  # 10 s
@pytest.mark.parametrize(
    ("bundle", "num_layers", "dimension"),
    [
        ("HUBERT_XLARGE", 48, 1280),
        ("WAV2VEC2_XLSR_1B", 48, 1280),
        ("WAV2VEC2_XLSR_2B", 48, 1920),
        ("WAV2VEC2_ASR_LARGE_960H", 24, 1024),
        ("MMS_FA", 24, 1024),
        ("VOXPOPULI_ASR_BASE_10K_DE", 12, 768),
    ],
)
def test_shapes_of_the_largest_and_the_fine_tuned_bundles_follow_without_their_values(
    bundle: str, num_layers: int, dimension: int
) -> None:
    with torch.device("meta"):
        encoder = SslEncoder(bundle=bundle, layers={"all": "all"}, weights="random")
    encoder.to("meta")
    with torch.inference_mode():
        features = encoder._compute(torch.zeros(16000))
    assert features["all"].shape == (49, num_layers + 1, dimension)
