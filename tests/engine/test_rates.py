"""The table of measured rates: what it knows an extractor by, and what it takes in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from featbank.base.building import build
from featbank.engine.forecast.rates import (
    MeasuredRate,
    RateTable,
    add_rates,
    cost_digest,
    read_rates,
)
from featbank.errors import FeatbankError
from featbank.features.base import Extractor
from tests.features.tiny_codecs import TINY_DAC

RATE = MeasuredRate(
    option="dac",
    extractor="",
    device="NVIDIA H200",
    machine="16 cores",
    date="2026-11-30",
    batch_s=480,
    num_decoders=8,
    real_time_factor=5000,
    computing_factor=6000,
    decoding_factor=3000,
    stored_bytes_per_s=1e6,
)


def dac(**changes: object) -> Extractor:
    extractor = build({**TINY_DAC, **changes})
    assert isinstance(extractor, Extractor)
    return extractor


def test_an_extractor_is_known_by_what_its_speed_depends_on_and_not_by_its_weights() -> None:
    known = cost_digest(dac())
    assert cost_digest(dac(seed=1)) == known
    assert cost_digest(dac(license="mine")) == known
    assert cost_digest(dac(num_codebooks=2)) != known
    larger = {**TINY_DAC["architecture"], "encoder_hidden_size": 4}
    assert cost_digest(dac(architecture=larger)) != known


def test_a_rate_is_found_again_by_extractor_and_device_the_fastest_of_several(
    tmp_path: Path,
) -> None:
    extractor = dac()
    rate = replace(RATE, extractor=cost_digest(extractor))
    faster = replace(rate, batch_s=120, real_time_factor=7000)
    add_rates(tmp_path / "rates.json", [rate])
    add_rates(tmp_path / "rates.json", [faster])
    table = read_rates(tmp_path / "rates.json")
    assert table == RateTable((rate, faster))
    assert table.fastest(dac(seed=3)) == [faster]
    assert table.fastest(extractor, batch_s=rate.batch_s) == [rate]
    assert table.fastest(dac(num_codebooks=1)) == []


def test_a_new_measurement_takes_the_place_of_the_older_one(tmp_path: Path) -> None:
    add_rates(tmp_path / "rates.json", [RATE, replace(RATE, device="cpu")])
    newer = replace(RATE, real_time_factor=100)
    assert add_rates(tmp_path / "rates.json", [newer]).rates == (
        replace(RATE, device="cpu"),
        newer,
    )


@pytest.mark.parametrize("text", ["[]", "{}", '{"rates": [{}]}', '{"rates": 1}'])
def test_what_is_no_table_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "rates.json").write_text(text)
    with pytest.raises(FeatbankError, match=r"rates\.json"):
        read_rates(tmp_path / "rates.json")
    with pytest.raises(FeatbankError, match=r"rates\.json"):
        add_rates(tmp_path / "rates.json", [RATE])


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="real_time_factor"):
        replace(RATE, real_time_factor=0.0)
