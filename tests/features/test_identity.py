"""A feature is named by what decides its values, and by nothing else."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from featbank.base.building import build
from featbank.base.components import Identity
from featbank.base.parameters import parameters_of
from featbank.engine.definition import Description
from featbank.errors import ConfigError, WeightsError
from featbank.features import EXTRACTORS
from featbank.features.base import Extractor
from featbank.features.codecs.encodec import Encodec
from featbank.features.codecs.xcodec import Xcodec
from featbank.features.encoders.ssl import SslEncoder
from featbank.features.encoders.transformers_ssl import KINDS as TRANSFORMERS_KINDS
from featbank.features.pooled import Pooled
from featbank.features.precision import BFLOAT16
from featbank.features.several import Several
from featbank.features.signal.dsp import WINDOWS
from featbank.features.signal.kaldi import Fbank, Mfcc
from featbank.features.signal.stft_front_end import PADDINGS
from featbank.store.encoding import ScaledInt8
from tests.extracting import prepare_corpus, run_extraction
from tests.features.checks import compute
from tests.features.golden_values import goldens
from tests.features.tiny_codecs import save_codec
from tests.tiny_encoder import _bundle

MADE = {name: kept.make for name, kept in goldens()}
WORDS = (*WINDOWS, *PADDINGS, BFLOAT16, *TRANSFORMERS_KINDS, "WAV2VEC2_BASE", "another/name")
TRIED = [*sorted(set(MADE) - {"xcodec"}), "several", "pooled"]  # X-Codec takes what EnCodec takes


def _settings(name: str) -> tuple[type[Extractor], dict[str, Any]]:
    """Return a class and arguments of it that are made at once: of encoders a tiny random one."""
    if name == "ssl":
        layers = {"first": 1, "third": 3}
        return SslEncoder, {"bundle": "TINY", "layers": layers, "weights": "random"}
    if name in ("several", "pooled"):
        inner = Fbank(frame_length_ms=20.0)
        return (
            (Several, {"extractors": [inner]})
            if name == "several"
            else (Pooled, {"extractor": inner})
        )
    made = MADE[name]()
    settings = dict(made._bound)
    if "weights" in settings:
        settings |= {"weights": "random", "weights_sha256": None, "license": None}
    if "use_energy" in settings:  # without it the floor of the energy is none
        settings["use_energy"] = True
    if "max_window_s" in settings:
        settings |= {"max_window_s": 30.0, "context_s": 5.0}
    return type(made), settings


@pytest.fixture(autouse=True)
def tiny_bundle() -> Iterator[None]:
    with _bundle("wavlm base", 16, 4):
        yield


def _others(name: str, value: Any) -> Iterator[Any]:
    """Other values of an argument, some of which its class may refuse."""
    if name == "layers":
        yield dict.fromkeys(value, 2)
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, 2 * value, value // 2 or 1, value - 1)
    elif isinstance(value, float):
        yield from (value * 1.1, value * 0.9, value + 1, 2.0, 0.6, 0.35, -400.0, 4.0)
    elif isinstance(value, str):
        yield from (word for word in WORDS if word != value)
    elif isinstance(value, Mapping):
        numbers = {key: one for key, one in value.items() if type(one) is int}
        yield from ({**value, key: 2 * one} for key, one in numbers.items())
    elif value is None:
        yield from ("another", 20.0, 300)
    elif isinstance(value, Extractor):
        yield Fbank(frame_length_ms=30.0)
    elif isinstance(value, list | tuple):
        yield [other for one in value for other in _others(name, one)]


def _made(kind: type[Extractor], settings: dict[str, Any]) -> Extractor | None:
    target = f"{kind.__module__}.{kind.__qualname__}"
    if any(isinstance(value, Extractor | list) for value in settings.values()):
        return kind(**settings)
    try:
        return build({"_target_": target, **settings}, kind=Extractor)  # type: ignore[no-any-return]
    except (ConfigError, WeightsError):
        return None


def _identities(extractor: Extractor) -> dict[str, Identity]:
    return {name: extractor.identity(name) for name in extractor.outputs}


@pytest.mark.parametrize("name", TRIED)
def test_each_argument_names_another_feature_unless_it_is_said_to_change_nothing(
    name: str, speech: dict[str, torch.Tensor]
) -> None:
    kind, settings = _settings(name)
    plain = _made(kind, settings)
    assert plain is not None
    before = _identities(plain)
    waveform = next(iter(speech.values()))[:16000]
    is_cheap = not plain.weights.digest and name != "f0"
    values = compute(plain, waveform) if is_cheap else {}
    inert = {one for base in kind.__mro__ for one in vars(base).get("changes_nothing", ())}
    for argument, value in settings.items():
        is_other = []
        for other in _others(argument, value):
            changed = _made(kind, {**settings, argument: other})
            if changed is None:
                continue
            after = _identities(changed)
            is_other.append([*after.values()] != [*before.values()])
            if is_cheap and after == before:
                again = compute(changed, waveform)
                assert all(np.array_equal(values[one], again[one]) for one in before), argument
            if argument in plain.names_weights:  # the digest of the weights alone says
                is_other[-1] &= changed.weights == plain.weights
            if len(is_other) == (1 if argument in plain.names_weights else 3):
                break
        if argument in inert or argument in plain.names_weights:
            assert not any(is_other), argument
        else:
            assert any(is_other), argument


def test_every_registered_extractor_is_tried() -> None:
    tried = {_settings(name)[0] for name in TRIED}
    assert tried == {EXTRACTORS.find(name).load() for name in EXTRACTORS.table} - {Xcodec}
    assert parameters_of(Xcodec) == parameters_of(Encodec)


FBANK = "featbank.features.signal.kaldi.Fbank"


@pytest.mark.parametrize(
    ("target", "one", "other"),
    [
        (FBANK, {}, {"num_mel_bins": 23, "use_energy": False, "window_type": "povey"}),
        (FBANK, {"low_freq": 20}, {"low_freq": np.float32(20), "num_mel_bins": np.int64(23)}),
        (FBANK, {"high_freq": 0}, {"high_freq": 8000}),
        (FBANK, {}, {"energy_floor": 0.5}),  # of an energy that is not computed
        (FBANK, {"high_freq": -400.0}, {"high_freq": 7600}),
        (FBANK, {"snip_edges": False, "low_freq": 1e2}, {"low_freq": 100, "snip_edges": False}),
        ("featbank.features.Fbank", {}, {"_target_": FBANK}),
        ("featbank.features.Spectrogram", {"sample_rate": 16000}, {"win_length": 1024}),
        ("featbank.features.Energy", {"sample_rate": 16000}, {"win_length": None}),
        ("featbank.features.Spectrogram", {"sample_rate": 16000}, {"power": 1}),
        ("featbank.features.VocoderMel", {"sample_rate": 24000}, {"high_freq": 12000}),
        (
            "featbank.features.SslEncoder",
            {"bundle": "TINY", "weights": "random", "layers": {"a": "uniform", "b": 2}},
            {"layers": {"b": 2.0, "a": (0.25,) * 4}, "context_s": 7, "max_window_s": None},
        ),
    ],
)  # fmt: skip
def test_other_spellings_name_the_same_feature(
    target: str, one: dict[str, Any], other: dict[str, Any]
) -> None:
    first = build({"_target_": target, **one})
    second = build(dict(reversed({"_target_": target, **one, **other}.items())))
    assert _identities(first) == _identities(second)


def test_layers_that_are_asked_for_beside_it_change_no_feature() -> None:
    def identity(**layers: object) -> Identity:
        return SslEncoder(bundle="TINY", layers=layers, weights="random").identity("a")

    assert identity(a=2) == identity(b="all", a=2) != identity(a=1)


def test_seeds_count_for_random_weights_alone(tmp_path: Path) -> None:
    random = [SslEncoder(bundle="TINY", layers={"a": 1}, weights="random", seed=n) for n in (0, 1)]
    assert random[0].identity("a") != random[1].identity("a")
    codec = {"_target_": "featbank.features.Dac", **save_codec("dac", tmp_path)}
    stated = {**codec, "architecture": {}, "name": "mine", "model": "c/d", "license": "yours"}
    published = [build(codec), build({**stated, "seed": 7})]
    assert published[0].identity() == published[1].identity()


def test_a_feature_is_the_same_alone_and_beside_others_in_whatever_order() -> None:
    mfcc = Mfcc(deltas=2)
    orders = [Several(extractors=list(one)) for one in ((Fbank(), mfcc), (mfcc, Fbank()))]
    deeper = Several(extractors=[Several(extractors=[mfcc]), Fbank()])
    for name, alone in (("fbank", Fbank()), ("mfcc", mfcc)):
        assert {str(one.identity(name)) for one in (*orders, deeper, alone)} == {
            str(alone.identity(name))
        }
    pooled = [Pooled(extractor=one).identity("mfcc_stats") for one in (*orders, mfcc)]
    assert pooled[0] == pooled[1] == pooled[2]


class _Old(Fbank):
    """What it was called before."""


@pytest.mark.parametrize("place", ["fb_moved:Fbank", "fb_moved:Filterbank"])
def test_a_class_that_moves_or_is_renamed_keeps_its_name(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Fbank(num_mel_bins=40).identity("fbank")
    moved = ModuleType("fb_moved")
    name = place.partition(":")[2]
    setattr(moved, name, Fbank)
    monkeypatch.setitem(sys.modules, "fb_moved", moved)
    monkeypatch.setitem(EXTRACTORS.table, "fbank", place)  # type: ignore[misc]
    assert Fbank(num_mel_bins=40).identity("fbank") == before
    monkeypatch.setattr(Fbank, "__module__", "fb_moved")
    assert Fbank(num_mel_bins=40).identity("fbank") == before
    assert _Old(num_mel_bins=40).identity("fbank") == before


def test_a_version_or_another_name_is_another_feature(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Description.of(Fbank(), "fbank")
    assert before.fingerprint("fbank", "float32") != before.fingerprint("fbank", "float16")
    assert before.fingerprint("fbank", "float32") != before.fingerprint("other", "float32")
    plain = before.fingerprint("fbank", "int8_scaled")
    monkeypatch.setattr(ScaledInt8, "version", 99)
    assert before.fingerprint("fbank", "int8_scaled") != plain
    monkeypatch.setattr(Fbank, "version", 99)
    after = Description.of(Fbank(), "fbank")
    assert before.fingerprint("fbank", "float32") != after.fingerprint("fbank", "float32")


@pytest.mark.usefixtures("one_thread")
def test_a_store_is_taken_over_whatever_its_definition_spells(corpus: Path, tmp_path: Path) -> None:
    prepare_corpus(corpus)
    run_extraction(corpus, tmp_path / "out", num_workers=None)
    spelled = {
        "_target_": "featbank.features.Several",
        "extractors": [
            {"_target_": "featbank.features.Mfcc"},
            {"use_energy": False, "high_freq": 8000, "num_mel_bins": 20, "_target_": FBANK},
        ],
    }
    storage = [{"name": "mfcc"}, {"name": "fbank"}]
    again = run_extraction(
        corpus, tmp_path / "out", num_workers=None, extractor=spelled, storage=storage
    )
    assert {header.fingerprint for header in again.headers if header.name == "fbank"} == {
        Description.of(Fbank(num_mel_bins=20), "fbank").fingerprint("fbank", "float32")
    }
