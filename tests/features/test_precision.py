"""Precision: the model itself is of that type, what is taken over a waveform is not."""

from __future__ import annotations

import copy
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.utils import parametrize

from featbank.errors import ConfigError
from featbank.features.base import AudioBatch
from featbank.features.encoders.encoder import Encoder
from featbank.features.encoders.ssl import SslEncoder
from featbank.features.encoders.w2v_bert import Wav2Vec2BertEncoder
from featbank.features.encoders.whisper import WhisperEncoder
from featbank.features.precision import cast, computing_in
from featbank.features.signal.whisper_mel import log_mel, mel_filters
from featbank.features.weights.checkpoint import tensors_digest
from featbank.files.provenance import file_sha256
from tests.features.checks import compute
from tests.features.encoders import ENCODERS, of
from tests.tiny_encoder import TinyEncoder

REAL = Path(os.environ.get("FEATBANK_WHISPER_TINY_EN", "")).absolute()
PRECISIONS = ("float32", "bfloat16", "float16", "tf32")


@pytest.fixture(scope="module")
def waveform(speech: dict[str, torch.Tensor]) -> torch.Tensor:
    return next(iter(speech.values()))[:20_000]


def in_bfloat16(encoder: Encoder) -> torch.nn.Module:
    """Return the library's own model, whole, as its users turn it into bfloat16."""
    model: torch.nn.Module = copy.deepcopy(encoder._model)
    # a weight of a direction and a length is one weight: the library rounds all three
    parametrize.remove_parametrizations(model.encoder.transformer.pos_conv_embed.conv, "weight")
    return model.to(torch.bfloat16)


def test_a_bundle_in_bfloat16_is_torchaudios_own_model_in_bfloat16(waveform: torch.Tensor) -> None:
    made = SslEncoder(bundle="WAVLM_BASE", layers={"a": 2, "b": "final"}, weights="random")
    reference = in_bfloat16(made)
    narrow = SslEncoder(
        bundle="WAVLM_BASE", layers={"a": 2, "b": "final"}, weights="random", precision="bfloat16"
    )
    found = compute(narrow, waveform)
    with torch.inference_mode():
        states, _ = reference.extract_features(waveform.to(torch.bfloat16)[None])
        last, _ = reference(waveform.to(torch.bfloat16)[None])
    assert np.array_equal(found["a"], states[1][0].float().numpy())
    assert np.array_equal(found["b"], last[0].float().numpy())
    assert {tensor.dtype for tensor in narrow._model.parameters()} == {torch.bfloat16}


def test_whisper_in_bfloat16_is_transformers_own_model_on_a_log_mel_of_float32(
    waveform: torch.Tensor,
) -> None:
    narrow = of("whisper", precision="bfloat16", layers={"last": "final"})
    assert isinstance(narrow, WhisperEncoder)
    reference = of("whisper", layers={"last": "final"})._model.to(torch.bfloat16)
    padded = torch.nn.functional.pad(waveform, (0, narrow.max_samples - len(waveform)))
    given = log_mel(padded[None], mel_filters(80))
    with torch.inference_mode():
        expected = reference(given.to(torch.bfloat16)).last_hidden_state[0].float().numpy()
    found = compute(narrow, waveform)["last"]
    assert np.array_equal(found, expected[: len(found)])


def test_w2v_bert_in_bfloat16_is_transformers_own_model_on_a_front_end_of_float32(
    waveform: torch.Tensor,
) -> None:
    narrow = of("w2v-BERT", precision="bfloat16", layers={"last": "final"})
    assert isinstance(narrow, Wav2Vec2BertEncoder)
    reference = of("w2v-BERT", layers={"last": "final"})._model.to(torch.bfloat16)
    given = narrow._front_end.alone(waveform)
    assert given.dtype == torch.float32
    with torch.inference_mode():
        expected = reference(given.to(torch.bfloat16)[None]).last_hidden_state[0].float().numpy()
    assert np.array_equal(compute(narrow, waveform)["last"], expected)


@pytest.mark.parametrize("name", ENCODERS)
def test_a_padded_row_in_bfloat16_is_as_near_to_float32_as_alone(
    name: str, waveform: torch.Tensor
) -> None:
    exact, narrow = (of(name, precision=one) for one in ("float32", "bfloat16"))
    shape = exact.batch_shape(len(waveform), 4 * 32_000)
    mates = [waveform, waveform[:9_000], 0.1 * waveform[500:]]
    batch = AudioBatch(ids=["a", "b", "c"], waveforms=mates, shape=shape)
    rows = narrow.compute_features(batch, "train")
    backwards = AudioBatch(ids=["c", "b", "a"], waveforms=mates[::-1], shape=shape)
    for row, again, mate in zip(
        rows, narrow.compute_features(backwards, "train")[::-1], mates, strict=True
    ):
        alone, expected = compute(narrow, mate), compute(exact, mate)
        for feature in exact.outputs:
            assert np.array_equal(row[feature], again[feature])  # mates change no bit
            scale = expected[feature].std()
            for found in (row, alone):
                off = np.sqrt(np.square(found[feature] - expected[feature]).mean())
                assert 1e-5 * scale < off < 0.03 * scale


@pytest.mark.skipif(
    not (REAL / "model.safetensors").is_file(), reason="FEATBANK_WHISPER_TINY_EN names no model"
)
def test_published_weights_in_bfloat16_are_near_float32_and_keep_their_name(
    speech: dict[str, torch.Tensor],
) -> None:
    exact, narrow = (
        WhisperEncoder(
            model="openai/whisper-tiny.en",
            architecture={},
            layers={"second": 2, "last": "final"},
            weights=str(REAL),
            weights_sha256=file_sha256(REAL / "model.safetensors"),
            precision=precision,
        )
        for precision in ("float32", "bfloat16")
    )
    waveforms = list(speech.values())[:3]
    shape = exact.batch_shape(1, 90 * 16_000)
    rows = narrow.compute_features(
        AudioBatch(ids=["a", "b", "c"], waveforms=waveforms, shape=shape), "train"
    )
    for row, waveform in zip(rows, waveforms, strict=True):
        expected = compute(exact, waveform)
        for feature in exact.outputs:
            off = np.sqrt(np.square(row[feature] - expected[feature]).mean())
            assert off < 0.02 * expected[feature].std()
    assert narrow.weights == exact.weights


@pytest.mark.parametrize("name", ENCODERS)
def test_weights_are_named_by_what_was_published_whatever_they_are_cast_to(name: str) -> None:
    encoders = [of(name, precision=one) for one in ("float32", "bfloat16")]
    named = encoders[0].weights
    for encoder in encoders:
        encoder.to("cpu")
        assert encoder.weights == named


def test_tensors_that_are_named_by_their_values_are_named_before_they_are_rounded() -> None:
    exact, narrow = (
        TinyEncoder(precision=one, width=64, positional_groups=1) for one in ("float32", "bfloat16")
    )
    for encoder in (exact, narrow):  # as of a file: the digest is over the tensors of the model
        encoder._loaded = replace(
            encoder._loaded, compute_digest=partial(digest_of, encoder._model), source="file"
        )
    narrow.to("cpu")
    assert digest_of(narrow._model) != digest_of(exact._model)
    assert narrow.weights == exact.weights


def digest_of(model: torch.nn.Module) -> str:
    return tensors_digest(model.state_dict())


def test_a_precision_is_part_of_the_identity_and_float32_has_the_one_it_had() -> None:
    identities = {one: TinyEncoder(precision=one).identity() for one in PRECISIONS}
    stated = {one: found.arguments["precision"] for one, found in identities.items()}
    assert stated["float32"] == "float32"
    # autocast's, of featbank 0.1, stood under the bare names
    assert {stated[one] for one in ("bfloat16", "float16")} & set(PRECISIONS) == set()
    assert len(set(stated.values())) == 4
    assert {found.version for found in identities.values()} == {1}


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("precision", ["float16", "tf32"])
def test_what_a_cpu_does_not_have_is_refused_before_anything_is_computed(
    name: str, precision: str
) -> None:
    encoder = of(name, precision=precision)
    with pytest.raises(ConfigError, match=f"precision: {precision}: expected a GPU, got a CPU"):
        encoder.to("cpu")
    assert {tensor.dtype for tensor in encoder._model.parameters()} == {torch.float32}


def test_tf32_is_allowed_where_it_is_the_precision_and_nowhere_else() -> None:
    """Torch's own settings, which tensor cores follow: no GPU is needed to read them."""

    def allowed() -> tuple[bool, bool, str]:
        backends = torch.backends
        return (
            backends.cuda.matmul.allow_tf32,
            backends.cudnn.allow_tf32,
            backends.cudnn.conv.fp32_precision,
        )

    before, gpu = allowed(), torch.device("cuda")
    with computing_in("tf32", gpu):
        assert allowed() == (True, True, "tf32")
        with computing_in("float32", gpu):  # a front end
            assert allowed() == (False, False, "ieee")
        assert allowed() == (True, True, "tf32")
    assert allowed() == before
    for precision in ("float32", "bfloat16"):
        with computing_in(precision, gpu):
            assert allowed() == (False, False, "ieee")
    torch.backends.cuda.matmul.fp32_precision = "tf32"  # by the newer names, as a recipe may
    with computing_in("float32", gpu):
        assert allowed() == (False, False, "ieee")
    assert allowed()[0]
    torch.backends.cuda.matmul.allow_tf32 = before[0]
    with computing_in("tf32", torch.device("cpu")):
        assert allowed() == before


def test_a_weight_of_a_direction_and_a_length_is_one_before_it_is_rounded() -> None:
    made = TinyEncoder(width=64)
    conv = made._model.encoder.transformer.pos_conv_embed.conv
    weight = conv.weight.detach().clone()
    cast(made._model, "bfloat16")
    assert not parametrize.is_parametrized(conv)
    assert torch.equal(conv.weight, weight.to(torch.bfloat16))
