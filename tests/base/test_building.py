from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pytest

from featbank.base.building import build, construct
from featbank.errors import ConfigError
from featbank.runners.base import Runner
from featbank.runners.local import LocalRunner


def test_a_target_of_ours_is_built_with_its_arguments() -> None:
    runner = build({"_target_": "featbank.runners.local.LocalRunner", "num_workers": 3})
    assert isinstance(runner, LocalRunner)
    assert runner.count_workers() == 3


def test_arguments_a_class_does_not_take_are_named() -> None:
    message = r"LocalRunner: num_worker: expected one of num_workers, .* did you mean num_workers\?"
    with pytest.raises(ConfigError, match=message):
        build({"_target_": "featbank.runners.local.LocalRunner", "num_worker": 3})


@pytest.mark.parametrize("value", ["two", 1.5, True, "3"])
def test_a_value_of_another_type_is_refused_where_it_stands(value: object) -> None:
    with pytest.raises(ConfigError, match="num_workers: expected int or null, got"):
        build({"_target_": "featbank.runners.local.LocalRunner", "num_workers": value})


def test_a_text_is_no_flag_and_a_whole_number_is_a_float() -> None:
    with pytest.raises(ConfigError, match="snip_edges: expected bool, got str 'no'"):
        build({"_target_": "featbank.features.signal.kaldi.Fbank", "snip_edges": "no"})
    assert (
        build({"_target_": "featbank.features.signal.kaldi.Fbank", "low_freq": 40}).low_freq == 40
    )


class _Setup:
    def __init__(
        self,
        commands: Sequence[str] | None = None,
        options: Mapping[str, int] = MappingProxyType({}),
        name: str | Sequence[str] = "x",
        tables: str | Sequence[str] | Mapping[str, str] = "",
    ) -> None:
        self.commands, self.options, self.name = list(commands or ()), {**options}, name
        self.tables = tables
        if self.options.get("broken"):
            self.nothing  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("commands", ["module load cuda", 3, {"a": 1}])
def test_a_value_is_no_list_of_its_letters(commands: object) -> None:
    with pytest.raises(ConfigError, match=r"setup: commands: expected a list: \[value\], got"):
        construct(_Setup, {"commands": commands}, "setup")


@pytest.mark.parametrize("options", ["abc", 3, ["a"], None])
def test_a_value_where_names_are_wanted_is_refused_where_it_stands(options: object) -> None:
    with pytest.raises(ConfigError, match="setup: options: expected a mapping: "):
        construct(_Setup, {"options": options}, "setup")


def test_lists_names_and_what_an_annotation_allows_beside_them_pass() -> None:
    made = construct(_Setup, {"commands": ["a"], "options": {"b": 1}, "name": "c"}, "setup")
    assert (made.commands, made.options, made.name) == (["a"], {"b": 1}, "c")
    assert construct(_Setup, {"commands": None}, "setup").commands == []


@pytest.mark.parametrize("tables", ["a", ["a", "b"], {"a": "b"}])
def test_an_annotation_may_allow_a_text_a_list_and_a_mapping(tables: object) -> None:
    assert construct(_Setup, {"tables": tables}, "setup").tables == tables
    with pytest.raises(ConfigError, match="setup: tables: expected a list"):
        construct(_Setup, {"tables": 3}, "setup")


def test_a_fault_of_a_class_keeps_its_traceback() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        construct(_Setup, {"options": {"broken": 1}}, "setup")


def test_a_class_without_arguments_says_so() -> None:
    with pytest.raises(ConfigError, match="num_workers: expected no option, got an option that"):
        build({"_target_": "featbank.runners.inline.InlineRunner", "num_workers": 3})


def test_a_missing_argument_is_named() -> None:
    with pytest.raises(ConfigError, match=r"SslEncoder: expected a value for bundle, layers"):
        build({"_target_": "featbank.features.encoders.ssl.SslEncoder", "weights": "random"})


def test_a_configuration_without_a_target_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected the name of a class, got None"):
        build({"num_workers": 3})


class _Part:
    built = 0

    def __init__(self, size: int = 1) -> None:
        self.size = size
        _Part.built += 1


class _Whole:
    def __init__(
        self,
        part: _Part | None = None,
        parts: Sequence[_Part] = (),
        values: Mapping[str, int] = MappingProxyType({}),
        size: int = 1,
        anything: object = None,
    ) -> None:
        if size < 0:
            raise OverflowError("too small")
        self.part, self.parts, self.rest = part, parts, (values, anything)


PART = {"_target_": "tests.base.test_building._Part"}
WRITER = {"_target_": "featbank.store.StoreWriter", "path": "written", "name": "x"}


def _whole(**arguments: object) -> _Whole:
    made: _Whole = build(
        {"_target_": "tests.base.test_building._Whole", **arguments}, ["tests"], _Whole
    )
    return made


def test_an_argument_that_is_an_object_may_be_described_too() -> None:
    made = _whole(part=PART, parts=[PART, {**PART, "size": 2}])
    assert isinstance(made.part, _Part)
    assert [type(part) for part in made.parts] == [_Part, _Part]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"part": WRITER}, "StoreWriter': expected a class of _Part, got StoreWriter"),
        ({"parts": [PART, WRITER]}, "expected a class of _Part, got StoreWriter"),
        ({"parts": [PART, {"_target_": "os.system"}]}, "expected a class under featbank"),
        ({"values": WRITER}, "values: expected values, got _target_ 'featbank.store.StoreWriter'"),
        ({"values": {"a": [WRITER]}}, "values: expected values, got _target_"),
        ({"anything": [WRITER]}, "anything: expected values, got _target_"),
        ({"size": PART}, "size: expected values, got _target_"),
        ({"part": PART, "nope": 1}, "nope: expected one of"),
        ({"part": PART, "_args_": [1]}, "_args_: expected one of"),
        ({"part": {**PART, "_partial_": True}}, "_partial_: expected one of"),
        ({"part": {**PART, "_recursive_": False}}, "_recursive_: expected one of"),
        ({"part": {**PART, "_convert_": "all"}}, "_convert_: expected one of"),
    ],
)
def test_all_is_checked_before_the_first_is_built(
    arguments: dict[str, object], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = _Part.built
    with pytest.raises(ConfigError, match=said):
        _whole(**arguments)
    assert (_Part.built, list(tmp_path.iterdir())) == (before, [])


def test_an_object_is_of_the_kind_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="expected a class of Runner, got StoreWriter"):
        build(WRITER, kind=Runner)
    assert list(tmp_path.iterdir()) == []
    assert isinstance(
        build({"_target_": "featbank.runners.inline.InlineRunner"}, kind=Runner), Runner
    )


def test_arithmetic_that_a_class_cannot_do_is_said() -> None:
    with pytest.raises(ConfigError, match="got too small"):
        construct(_Whole, {"size": -1}, "whole")


@pytest.mark.parametrize("name", ["num_mel_bins", "sample_rate", "frame_length_ms"])
@pytest.mark.parametrize("value", [0, -1, 1e308, -1e308, 1 << 62])
def test_a_number_that_no_extractor_can_compute_with_is_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError):
        build({"_target_": "featbank.features.signal.kaldi.Fbank", name: value})
