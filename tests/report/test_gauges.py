"""How codebooks are used and what tokens cost: each gauge against numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log, log2
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featbank.base.framing import Framing
from featbank.base.manifest import Utterance, write_manifest
from featbank.base.units import deduplicate
from featbank.report.gauges import codebook_gauges, together
from featbank.report.metrics import metrics, usage_curves
from featbank.report.page import render_report
from featbank.report.tables import codebook_tables
from featbank.store import StoreWriter, open_store
from featbank.validation.result import CheckResult, read_check, write_check
from featbank.validation.scan import make_example
from featbank.validation.stores import validate_stores
from featbank.validation.usage import CodebookUsage
from tests.conftest import SPLITS

# a codec of 10 frames a second: what a file ends with is padded to a frame
FRAMING = Framing(sample_rate=8000, window_length=800, hop_length=800, right=799)
CORPUS: dict[str, Any] = {
    "name": "tiny",
    "license": "CC0-1.0",
    "num_failures": 0,
    "splits": {split: {"utterances": 2, "hours": 0, "speakers": 1} for split in SPLITS},
}


def check(folder: Path, tokens: dict[str, Any], *, name: str, **header: Any) -> CheckResult:
    """Store tokens of utterances in all splits through `StoreWriter`, and validate them."""
    grid = {
        "framing": FRAMING,
        "frame_rate": FRAMING.frame_rate,
        "first_frame_center_s": FRAMING.first_frame_center_s,
    }
    for split in SPLITS:
        rows = [
            Utterance(
                id=key,
                audio="a.wav",
                audio_digest="md5:0",
                sample_rate=8000,
                num_samples=800 * value.shape[-1],
            )
            for key, value in tokens.items()
        ]
        write_manifest(folder / f"{split}.jsonl", rows)
        options = {"provenance": {"stores": [name]}, **grid, **header}
        with StoreWriter(folder / "stores" / name / split, name=name, **options) as writer:
            for row in rows:
                writer.write(row.id, tokens[row.id], input_digest=row.input_digest)
    return validate_stores(folder / "stores", folder, name="features/codec")


def codes(num_codebooks: int, size: int, num_frames: int, seed: int) -> Any:
    """Codes (Q, T) of which the later codebooks use fewer."""
    rng = np.random.default_rng(seed)
    most = np.linspace(size, 1, num_codebooks).astype(int)
    return np.stack([rng.integers(0, limit, num_frames) for limit in most])


def test_gauges_of_a_codebook_are_those_worked_out_by_hand() -> None:
    # a a a b | b c: 6 frames, 4 runs and 2 seconds of two utterances; one of 4 codes is dead
    usage = CodebookUsage(frames=(3, 2, 1, 0), runs=(1, 2, 1, 0))
    gauges = codebook_gauges(usage, 2.0)
    nats = -(1 / 2 * log(1 / 2) + 1 / 3 * log(1 / 3) + 1 / 6 * log(1 / 6))
    assert gauges.codes_used == 0.75
    assert gauges.dead_codes == 1
    assert gauges.perplexity == pytest.approx(exp(nats))
    assert gauges.entropy_bits == pytest.approx(nats / log(2))
    assert gauges.token_rate == 3.0
    assert gauges.bitrate == 6.0  # 2 bits a code
    assert gauges.bitrate_entropy_coded == pytest.approx(3 * nats / log(2))
    assert gauges.token_rate_deduplicated == 2.0
    assert gauges.bitrate_deduplicated == 4.0
    assert gauges.bitrate_deduplicated_entropy_coded == pytest.approx(2 * 1.5)


def test_codebooks_of_a_frame_are_summed_in_rate_and_averaged_in_use() -> None:
    even = codebook_gauges(CodebookUsage(frames=(5, 5), runs=(5, 5)), 1.0)
    dead = codebook_gauges(CodebookUsage(frames=(10, 0), runs=(1, 0)), 1.0)
    both = together([even, dead])
    assert (both.token_rate, both.bitrate, both.bitrate_entropy_coded) == (20, 20, 10)
    assert (both.token_rate_deduplicated, both.entropy_bits, both.dead_codes) == (11, 1, 1)
    assert (both.codes_used, both.perplexity) == (0.75, 1.5)


def test_codes_are_counted_codebook_by_codebook(tmp_path: Path) -> None:
    tokens = {"a": np.array([[0, 0, 1, 1], [3, 3, 3, 3]]), "b": np.array([[1, 1], [3, 0]])}
    result = check(tmp_path, tokens, name="codes", time_axis=-1, codebook_size=4)
    assert result.all_problems == []
    assert open_store(tmp_path / "stores" / "codes" / "dev")["a"].shape == (2, 4)
    for store in result.stores:
        # b begins with the code that a ended with, and is a run of its own
        assert store.codebooks == (
            CodebookUsage(frames=(2, 4, 0, 0), runs=(1, 2, 0, 0)),
            CodebookUsage(frames=(1, 0, 0, 5), runs=(1, 0, 0, 2)),
        )
        assert (store.mean, store.std) == (None, None)  # the numbers of codes are names
    write_check(result, tmp_path / "check.json")
    assert read_check(tmp_path / "check.json") == result


def test_audio_whose_tokens_were_not_counted_takes_no_part_in_rates(tmp_path: Path) -> None:
    tokens = {name: codes(2, 16, 500, seed) for seed, name in enumerate("ab")}
    result = check(tmp_path, tokens, name="codes", time_axis=-1, codebook_size=16)
    [(_, rows)] = codebook_tables([result])
    first, *others = result.stores
    damaged = replace(result, stores=(replace(first, codebooks=None), *others))
    [(_, fewer)] = codebook_tables([damaged])
    assert [one.token_rate for _, one in fewer] == [one.token_rate for _, one in rows] == [10, 10]


def test_runs_go_on_over_the_border_of_a_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = {name: codes(3, 2, 50, seed) for seed, name in enumerate("abcd")}
    monkeypatch.setattr("featbank.validation.scan.BLOCK_VALUES", 21)  # 7 frames of 3 codes
    result = check(tmp_path, tokens, name="codes", time_axis=-1, codebook_size=2)
    for number, usage in enumerate(result.stores[0].codebooks or ()):
        runs = np.concatenate([deduplicate(value[number])[0] for value in tokens.values()])
        assert usage.runs == tuple(np.bincount(runs, minlength=2))


def test_metrics_of_codes_are_given_for_each_codebook_and_for_all(tmp_path: Path) -> None:
    tokens = {name: codes(2, 16, 500, seed) for seed, name in enumerate("ab")}
    result = check(tmp_path, tokens, name="codes", time_axis=-1, codebook_size=16)
    numbers = metrics([result])["features"]["codec"]["codes"]["dev"]
    assert numbers["token_rate"] == 20
    assert numbers["bitrate"] == 80
    assert [numbers["codebooks"][key]["bitrate"] for key in ("00", "01")] == [40, 40]
    first = np.bincount(np.concatenate([value[0] for value in tokens.values()])) / 1000
    entropy = float(-(first * np.log2(first)).sum())
    assert numbers["codebooks"]["00"]["entropy_bits"] == pytest.approx(entropy, rel=1e-5)
    assert numbers["codebooks"]["01"]["dead_codes"] == 15
    assert numbers["entropy_bits"] == pytest.approx(entropy, rel=1e-5)  # the second has none
    assert usage_curves([result]) == {}


def test_codes_of_one_codebook_are_among_the_curves(tmp_path: Path) -> None:
    tokens = {"a": np.array([[0, 0, 1, 1]])}
    result = check(tmp_path, tokens, name="codes", time_axis=-1, codebook_size=2)
    assert usage_curves([result]) == {
        "codec-codes": [{"rank": 1, "share": 0.5}, {"rank": 2, "share": 0.5}]
    }
    assert "codebooks" not in metrics([result])["features"]["codec"]["codes"]["dev"]


def test_report_of_32_codebooks_has_a_row_and_a_strip_for_each(tmp_path: Path) -> None:
    tokens = {name: codes(32, 1024, 1500, seed) for seed, name in enumerate("ab")}
    result = check(tmp_path, tokens, name="codes", time_axis=-1, codebook_size=1024)
    page = render_report([result], CORPUS)
    assert "features/codec/codes: 32 codebooks" in page
    assert page.count('<th class="text" scope="row">31</th>') == 1
    assert "1,500 frames of 32 codebooks, a colour a code, one in 8 drawn" in page
    assert "Codebook 31 is used the least evenly" in page
    assert "3,200" in page  # 32 codebooks of 10 bits, 10 times a second
    assert len(page) < 400_000


def test_codes_are_not_averaged_in_a_picture() -> None:
    example = make_example("a", np.arange(300)[:, None].repeat(90, axis=1) % 7, codes=True)
    assert (example.frames_per_column, example.values_per_cell) == (2, 1)
    assert example.columns[:4] == tuple((float(2 * n % 7),) * 90 for n in range(4))


def test_code_outside_its_codebook_is_named(tmp_path: Path) -> None:
    tokens = {"a": np.array([[0, 5, 1, 1], [3, 3, 3, 3]])}
    result = check(
        tmp_path, tokens, name="units", time_axis=-1, shape=(2,), dtype="uint8",
        provenance={"codebook": {"num_clusters": 4}, "stores": ["units"]},
    )  # fmt: skip
    assert {problem.kind for problem in result.all_problems} == {"unknown unit values"}
    usage = result.stores[0].codebooks
    assert usage is not None
    assert usage[0].frames == (1, 2, 0, 0)  # the unknown one is left out


def test_codebooks_too_large_to_count_are_named(tmp_path: Path) -> None:
    result = check(tmp_path, {}, name="codes", time_axis=-1, shape=(2,), codebook_size=1 << 20)
    found = {sentence for problem in result.all_problems for sentence in problem.sentences}
    assert {sentence.rpartition("header: ")[2] for sentence in found} == {
        "expected codebook_size from 1 to 524288, got 1048576"
    }
    assert result.stores[0].codebooks is None


def test_units_of_another_number_than_their_codebook_are_named(tmp_path: Path) -> None:
    result = check(
        tmp_path, {"a": np.array([0, 1, 1])}, name="units", codebook_size=3,
        provenance={"codebook": {"num_clusters": 4}, "stores": ["units"]},
    )  # fmt: skip
    assert {problem.kind for problem in result.all_problems} == {"wrong header"}
    sentence = result.all_problems[0].sentences[0]
    assert sentence.endswith("codebook_size: expected 4, as in provenance, got 3")


def test_deduplication_saves_what_repeats(tmp_path: Path) -> None:
    units = np.repeat(np.arange(20) % 8, 5)
    provenance = {"codebook": {"num_clusters": 8}, "stores": ["units"]}
    result = check(tmp_path, {"a": units}, name="units", codebook_size=8, provenance=provenance)
    numbers = metrics([result])["features"]["codec"]["units"]["train"]
    assert (numbers["token_rate"], numbers["token_rate_deduplicated"]) == (10, 2)
    assert (numbers["bitrate"], numbers["bitrate_deduplicated"]) == (30, 6)
    entropy = 4 * 3 / 20 * log2(20 / 3) + 4 * 2 / 20 * log2(20 / 2)
    assert numbers["bitrate_deduplicated_entropy_coded"] == pytest.approx(2 * entropy, rel=1e-5)
