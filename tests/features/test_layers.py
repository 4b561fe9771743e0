from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from featbank.errors import ConfigError
from featbank.features.base import Output
from featbank.features.layers import Layers

STATES = [torch.full((5, 4), float(number)) for number in range(4)]  # L = 3, T = 5, D = 4


def layers(**features: Any) -> Layers:
    return Layers(features, num_layers=3, dimension=4, where="tiny")


def test_one_layer_runs_no_deeper_layer() -> None:
    chosen = layers(low=0, middle=2)
    assert chosen.deepest == 2
    found = chosen(STATES[:3])
    assert (found["low"] == 0).all()
    assert (found["middle"] == 2).all()


def test_all_layers_stand_side_by_side_in_a_frame() -> None:
    chosen = layers(every="all")
    assert chosen.outputs == {"every": Output((4, 4))}
    every = chosen(STATES)["every"]
    assert every.shape == (5, 4, 4)
    assert every[2, :, 0].tolist() == [0, 1, 2, 3]


def test_a_name_with_a_star_is_a_feature_for_each_layer_of_a_list_or_for_all() -> None:
    some = Layers({"wavlm-l*": [0, 2], "x": 1}, num_layers=3, dimension=4, where="tiny")
    assert some.deepest == 2
    assert {name: float(one.max()) for name, one in some(STATES[:3]).items()} == {
        "wavlm-l0": 0, "wavlm-l2": 2, "x": 1,
    }  # fmt: skip
    assert some.chosen("wavlm-l2") == 2  # as if it stood there alone
    every = Layers({"*": "all"}, num_layers=3, dimension=4, where="tiny")
    assert list(every.outputs) == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"l*": [1, 4]}, "layers of tiny: l*: expected a layer from 0 to 3"),
        ({"l*": 2}, "layers of tiny: l*: expected one * in the name, for all or a list of layers"),
        ({"l*": []}, "expected one * in the name"),
        ({"l*": [0.5, 0.5]}, "expected one * in the name"),
        ({"l**": "all"}, "expected one * in the name"),
        ({"l*": [1, 1]}, "layers of tiny: l*: expected each name once, got l1 twice"),
    ],
)
def test_a_name_with_a_star_for_something_else_is_refused(
    said: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        Layers(said, num_layers=3, dimension=4, where="tiny")


def test_mixes_are_weighted_sums() -> None:
    found = layers(mean="uniform", learned=[0.1, 0.2, 0.3, 0.4])(STATES)
    assert torch.allclose(found["mean"], torch.full((5, 4), 1.5))
    assert torch.allclose(found["learned"], torch.full((5, 4), 2.0))


def test_the_final_output_is_the_one_behind_the_last_norm() -> None:
    chosen = layers(out="final", last=3)
    assert chosen.wants_final
    found = chosen(STATES, torch.full((5, 4), 9.0))
    assert (found["out"] == 9).all()
    assert (found["last"] == 3).all()


def test_half_precision_states_are_given_in_float32() -> None:
    half = [state.half() for state in STATES]
    found = layers(one=1, every="all", mean="uniform")(half)
    assert {values.dtype for values in found.values()} == {torch.float32}


@pytest.mark.parametrize(
    "choice", [4, -1, True, "last", [0.5, 0.5], [0.5] * 4, ["a"] * 4, None, 1.5, {}]
)
def test_another_choice_is_refused(choice: Any) -> None:
    with pytest.raises(ConfigError, match=r"layers of tiny: x: expected a layer from 0 to 3, all"):
        layers(x=choice)


def test_a_feature_needs_a_name_that_is_not_the_ids() -> None:
    with pytest.raises(ConfigError, match=r"such as \{wavlm: 9\}, got \{\}"):
        layers()
    for features in (9, None, "wavlm", [9]):
        with pytest.raises(ConfigError, match="expected feature name -> layer"):
            Layers(features, num_layers=3, dimension=4, where="tiny")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"weights whose sum is 1, got '2'$"):
        layers(x="2")
    with pytest.raises(ConfigError, match="got id"):
        layers(id=1)
