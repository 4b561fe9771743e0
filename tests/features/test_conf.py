from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from featbank.base.building import build
from featbank.base.parameters import parameters_of
from featbank.base.trusted import locate_class
from featbank.features.base import Extractor, Output
from featbank.features.encoders.ssl import SslEncoder
from featbank.features.weights.licenses import HUB_LICENSES, LICENSES
from tests.features.checks import compute

CONF = Path(__file__).parents[2] / "conf" / "feature"
OPTIONS = sorted(path.stem for path in CONF.glob("*.yaml"))
GRIDS = {  # sample rate, frames a second
    "fbank_mfcc": (16000, 100.0),
    "fbank": (16000, 100.0),
    "mfcc": (16000, 100.0),
    "mfcc_stats": (16000, None),
    "wavlm": (16000, 50.0),
    "hubert": (16000, 50.0),
    "wav2vec2": (16000, 50.0),
    "log_mel_whisper": (16000, 100.0),
    "mel_24khz": (24000, 93.75),
    "spectrogram": (24000, 93.75),
    "energy": (24000, 93.75),
    "f0": (24000, 93.75),
    "encodec_24khz": (24000, 75.0),
    "dac_16khz": (16000, 50.0),
    "dac_24khz": (24000, 75.0),
    "mimi": (24000, 12.5),
    "xcodec": (16000, 50.0),
}
WHISPER = [option for option in OPTIONS if option.startswith("whisper_")]
# bundles that are too large to be filled here: their shapes alone are computed
WITHOUT_VALUES = [
    "wavlm_base_plus",
    "wavlm_large",
    "hubert_large",
    "wav2vec2_large",
    "wav2vec2_xlsr",
]
GRIDS |= dict.fromkeys([*WHISPER, *WITHOUT_VALUES, "w2v_bert_2", "data2vec"], (16000, 50.0))
# to one layer or few channels, and Whisper to windows of a second
CUT_DOWN: dict[str, dict[str, Any]] = {
    "featbank.features.WhisperEncoder": {
        "architecture": {"encoder_layers": 1, "max_source_positions": 50},
        "context_s": 0.0,
    },
    "featbank.features.Wav2Vec2BertEncoder": {
        "architecture": {"num_hidden_layers": 1},
        "layers": {"w2v_bert_2": 1},
    },
    "featbank.features.TransformersEncoder": {
        "architecture": {"num_hidden_layers": 1},
        "layers": {"data2vec": 1},
    },
    "featbank.features.Dac": {
        "architecture": {"encoder_hidden_size": 8, "decoder_hidden_size": 64},
    },
    "featbank.features.Mimi": {
        "architecture": {"num_filters": 8, "num_hidden_layers": 1},
    },
}
WHISPER_SIZES = {  # layers, width and heads: table 1 of arXiv:2212.04356
    "tiny": (4, 384, 6),
    "base": (6, 512, 8),
    "small": (12, 768, 12),
    "medium": (24, 1024, 16),
    "large": (32, 1280, 20),
}


def read(option: str) -> dict[str, Any]:
    return yaml.safe_load((CONF / f"{option}.yaml").read_text(encoding="utf-8"))


def dry_run(settings: dict[str, Any]) -> Extractor:
    """Make what an option says with random weights, and of the largest models one layer."""
    settings = dict(settings)
    if "weights" in settings:
        settings["weights"] = "random"
    cut = CUT_DOWN.get(settings["_target_"])
    if cut is None:
        return build(settings)
    with torch.device("meta"):  # the whole of it, where a tensor takes no memory
        whole = build(settings)
    cut = {**cut, "architecture": {**settings["architecture"], **cut["architecture"]}}
    cut_down = build({**settings, **cut})
    assert (cut_down.outputs, cut_down.framing) == (whole.outputs, whole.framing)
    return cut_down


@pytest.mark.parametrize("option", OPTIONS)
def test_feature_option_computes_what_its_storage_expects(
    option: str, speech: dict[str, torch.Tensor]
) -> None:
    config = read(option)
    with torch.device("meta" if option in WITHOUT_VALUES else "cpu"):
        extractor = dry_run(config["extractor"])
    assert isinstance(extractor, Extractor)
    assert config["name"] == option
    assert sorted(entry["name"] for entry in config["storage"]) == sorted(extractor.outputs)
    framing = extractor.framing
    rate = None if framing.is_whole else framing.frame_rate
    assert (framing.sample_rate, rate) == GRIDS.get(option, (framing.sample_rate, rate))
    waveform = next(iter(speech.values()))[:16000]
    features: Mapping[str, Any]
    if option in WITHOUT_VALUES:
        assert isinstance(extractor, SslEncoder)
        extractor.to("meta")
        with torch.inference_mode():
            features = extractor._compute(waveform)
    else:
        features = compute(extractor, waveform)
    for name, output in extractor.outputs.items():
        frames = () if framing.is_whole else (framing.num_frames(16000),)
        assert features[name].shape == (*frames, *output.shape)
        assert output.is_codes or str(features[name].dtype).endswith("float32")


@pytest.mark.parametrize("option", OPTIONS)
def test_feature_option_is_free_of_interpolation(option: str) -> None:
    # DVC tracks an interpolation as its text, and would miss a change of what it stands for
    assert "${" not in (CONF / f"{option}.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("option", OPTIONS)
def test_feature_option_states_each_argument_of_its_class_and_no_other(option: str) -> None:
    # so that each can be typed as it stands there, without a +
    target, *stated = read(option)["extractor"].items()
    found = locate_class(target[1], (), (Extractor,))
    assert {name for name, _ in stated} == set(parameters_of(found))


def test_encoder_options_state_their_arguments_in_one_order_and_in_the_same_words() -> None:
    before: set[tuple[str, str]] = set()
    words: dict[tuple[str, bool], set[str]] = {}
    for option in OPTIONS:
        extractor = read(option)["extractor"]
        if "weights" not in extractor:
            continue
        before |= set(combinations(extractor, 2))
        text = (CONF / f"{option}.yaml").read_text(encoding="utf-8")
        for name in ("weights", "weights_sha256", "seed", "context_s"):
            [comment] = re.findall(rf"^  {name}: \S+ +# (.*)$", text, re.MULTILINE)
            words.setdefault((name, "bundle" in extractor), set()).add(comment)
    assert not {(later, earlier) for earlier, later in before} & before
    assert all(len(comments) == 1 for comments in words.values())


def test_mfcc_option_is_huberts_first_iteration() -> None:
    extractor = build(read("mfcc")["extractor"])
    assert extractor.outputs == {"mfcc": Output((39,))}
    assert not extractor.use_energy
    assert extractor.waveform_scale == 1.0


def test_the_options_for_synthesis_share_a_frame_grid() -> None:
    options = ("mel_24khz", "spectrogram", "energy", "f0")
    assert len({build(read(option)["extractor"]).framing for option in options}) == 1


@pytest.mark.parametrize(
    "option",
    [
        *("wavlm", "hubert", "wav2vec2", *WITHOUT_VALUES, *WHISPER, "w2v_bert_2", "data2vec"),
        *("dac_16khz", "dac_24khz", "mimi"),
    ],
)
def test_encoder_option_downloads_weights_under_the_license_its_comment_says(option: str) -> None:
    settings = read(option)["extractor"]
    name = settings.get("bundle") or settings["model"]
    published = {**LICENSES, **HUB_LICENSES}[name]
    assert settings["license"] is None
    text = (CONF / f"{option}.yaml").read_text(encoding="utf-8")
    assert f"the published weights are {published}\n" in text
    assert settings["weights"] == "download"
    assert settings["weights_sha256"] is None


@pytest.mark.parametrize("option", WHISPER)
def test_whisper_option_downloads_the_model_of_its_name(option: str) -> None:
    settings = read(option)["extractor"]
    _, size, *language = option.split("_")
    suffix = {"v3": "-v3", "en": ".en"}[language[0]] if language else ""
    assert settings["model"] == f"openai/whisper-{size}{suffix}"
    assert re.fullmatch("[0-9a-f]{40}", settings["revision"])
    assert settings["weights"] == "download"
    layers, width, heads = WHISPER_SIZES[size]
    assert settings["architecture"] == {
        "d_model": width,
        "encoder_layers": layers,
        "encoder_attention_heads": heads,
        "encoder_ffn_dim": 4 * width,
        "num_mel_bins": 128 if suffix == "-v3" else 80,
    }


def test_w2v_bert_option_downloads_the_model_of_its_name() -> None:
    settings = read("w2v_bert_2")["extractor"]
    assert settings["model"] == "facebook/w2v-bert-2.0"
    assert re.fullmatch("[0-9a-f]{40}", settings["revision"])
    assert settings["weights"] == "download"
    with torch.device("meta"):
        made = build({**settings, "weights": "random"})
    # 600 million parameters: table of the model's card
    assert 5.7e8 < sum(tensor.numel() for tensor in made._model.parameters()) < 6.3e8


@pytest.mark.parametrize("option", ["encodec_24khz", "dac_16khz", "dac_24khz", "mimi"])
def test_codec_option_downloads_the_weights_of_one_commit(option: str) -> None:
    settings = read(option)["extractor"]
    assert re.fullmatch("[0-9a-f]{40}", settings["revision"])
    assert settings["weights"] == "download"
    assert settings["weights_sha256"] is None
