"""Choices stand side by side: on the page, in metrics.json and in the terminal."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from featbank.__main__ import main
from featbank.quality.result import (
    AbxScore,
    PhoneDiscrimination,
    SpeakerProbe,
    StoreQuality,
    UnitNgram,
)
from featbank.report.page import render_report, write_report
from featbank.report.side_by_side import COLUMNS, best_of, side_by_side
from featbank.stability.result import DisturbedTokens, Stability
from featbank.validation.agreement import Agreement, LabelCheck
from featbank.validation.inertia import HeldOutInertia, SplitInertia
from featbank.validation.result import CheckResult, LengthHistogram, StoreCheck
from featbank.validation.usage import CodebookUsage

CORPUS: dict[str, Any] = {
    "name": "tiny",
    "license": "CC0-1.0",
    "num_failures": 0,
    "splits": {"dev": {"utterances": 2, "hours": 0, "speakers": 1}},
}


def quality(name: str, error_rate: float, **changes: Any) -> StoreQuality:
    score = AbxScore(error_rate=error_rate, num_cells=12, num_pairs=6)
    abx = PhoneDiscrimination(
        within=score, across=None, by_context=False, num_segments=30, num_left_out=4
    )
    return StoreQuality(name=name, abx=abx, **changes)


def features(option: str, error_rate: float) -> CheckResult:
    return CheckResult(
        name=f"features/{option}",
        stores=(StoreCheck(name=option, split="dev"),),
        lengths=LengthHistogram(bin_s=1, counts={"dev": (2,)}),
        quality=(quality(option, error_rate),),
    )


def tokens(option: str, usage: tuple[int, ...], error_rate: float, purity: float) -> CheckResult:
    def store(split: str, frames: int) -> StoreCheck:
        agreement = Agreement(phone_purity=purity, cluster_purity=0.1, pnmi=None)
        return StoreCheck(
            name="units",
            split=split,
            header={"fingerprint": "f", "frame_rate": 50.0, "dtype": "uint8", "shape": [],
                    "time_axis": 0, "framing": None, "numerics": [], "provenance": {}},
            audio_s=2.0,
            codebooks=(CodebookUsage(frames=usage, runs=usage),),
            labels=LabelCheck(
                num_labels=2, num_frames=frames, num_unlabelled=0, codebooks=(agreement,)
            ),
        )  # fmt: skip

    return CheckResult(
        name=f"tokens/{option}",
        stores=(store("dev", 3), store("test", 1)),
        lengths=LengthHistogram(bin_s=1, counts={"dev": (2,)}),
        inertia=HeldOutInertia(
            splits={
                "dev": SplitInertia(num_utterances=1, num_frames=1, mean_squared_distance=2),
                "test": SplitInertia(num_utterances=1, num_frames=3, mean_squared_distance=6),
            }
        ),
        quality=(
            quality(
                "units",
                error_rate,
                ngram=UnitNgram(
                    order=3, num_trained=9, num_held_out=5, bits_per_unit=1.5, bitrate=7,
                    bitrate_of_frames=9,
                ),
                speakers=SpeakerProbe(
                    accuracy=0.5, chance=0.25, num_speakers=4, num_fitted=9, num_asked=4
                ),
            ),
        ),
    )  # fmt: skip


def stabilities(name: str) -> dict[str, Stability]:
    flips = {
        kind: DisturbedTokens(
            told=kind, num_utterances=1, num_frames=9, flip_rate=rate, unit_edit_distance=0,
            codebooks=(),
        )
        for kind, rate in (("noise", 0.1), ("gain", 0.3))
    }  # fmt: skip
    return {
        name: replace(
            Stability.of_nothing(name, 0, ""), fingerprints={"units": "f"}, stores={"units": flips}
        )
    }


RESULTS = [
    features("fbank", 0.25),
    features("mfcc", 0.125),
    tokens("mfcc-two", (4, 4), 0.25, 0.5),
    tokens("mfcc-four", (4, 4, 0, 0), 0.5, 0.5),
]


def test_a_row_has_what_was_measured_and_nothing_else() -> None:
    table = side_by_side(RESULTS, stabilities("tokens/mfcc-two"))
    assert table == {
        "features/fbank": {"abx_within": 0.25},
        "features/mfcc": {"abx_within": 0.125},
        "tokens/mfcc-two": {
            "inertia": 5,  # by frames
            "codes_used": 1,
            "perplexity": 2,
            "bitrate": 4,  # 16 runs of one bit in 4 s
            "ngram_bitrate": 7,
            "phone_purity": 0.5,
            "abx_within": 0.25,
            "speaker_accuracy": 0.5,
            "speaker_chance": 0.25,
            "flip_rate": 0.2,
        },
        "tokens/mfcc-four": {
            **table["tokens/mfcc-four"], "codes_used": 0.5, "abx_within": 0.5
        },
    }  # fmt: skip
    assert "flip_rate" not in table["tokens/mfcc-four"]
    assert {key for row in table.values() for key in row} <= {column.key for column in COLUMNS}


def test_the_best_is_marked_among_features_and_among_tokens_and_not_where_all_are_equal() -> None:
    assert best_of(side_by_side(RESULTS, {})) == {
        ("features/mfcc", "abx_within"),
        ("tokens/mfcc-two", "abx_within"),
        ("tokens/mfcc-two", "codes_used"),
    }


def test_what_reads_the_same_is_equally_good() -> None:
    used = {"tokens/a": {"codes_used": 1.0}, "tokens/b": {"codes_used": 0.9996}}
    assert best_of(used) == set()
    used["tokens/c"] = {"codes_used": 0.5}
    assert {name for name, _ in best_of(used)} == {"tokens/a", "tokens/b"}
    # in whatever order they stand
    mixed = {name: {"pnmi": value} for name, value in (("f/a", 0.2), ("t/b", 0.4), ("f/c", 0.3))}
    assert best_of(mixed) == {("f/c", "pnmi")}
    [inertia] = [column for column in COLUMNS if column.key == "inertia"]
    told = [inertia.told(value) for value in (0.5, 14, 227.4, 999.7, 1445.5)]
    assert told == ["0.500", "14.0", "227", "1,000", "1,450"]


@pytest.mark.usefixtures("on_terminal")
def test_page_metrics_and_terminal_show_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    page = write_report(RESULTS, CORPUS, Path("reports", "tiny")).read_text()
    assert page.count("✓ 12.5%") == 1
    assert page.index("Choices side by side") < page.index(">Corpus<")
    assert "ABX: 30 phones between any neighbours, 4 more left out by the cap; within" in page
    metrics = json.loads(Path("reports", "tiny", "metrics.json").read_text())
    assert metrics["compared"] == side_by_side(RESULTS, {})
    assert main(["compare", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"tiny": metrics["compared"]}
    assert main(["compare", "tiny"]) == 0
    shown = capsys.readouterr().out
    row = next(line for line in shown.splitlines() if "features/mfcc" in line)
    assert "*12.5%" in row
    assert "*25.0%" in shown  # of tokens
    assert "Perplexity" in shown


def test_choices_of_which_nothing_was_measured_make_no_table() -> None:
    assert "side by side" not in render_report([replace(RESULTS[0], quality=None)], CORPUS)


@pytest.mark.parametrize("text", ["{}", '{"compared": {"features/x": {"abx_within": "low"}}}'])
def test_metrics_of_another_form_say_what_to_run(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["compare"]) == 1
    assert "a metrics.json, got none; run python stages/validate.py" in capsys.readouterr().err
    path = tmp_path / "reports" / "x" / "metrics.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert main(["compare"]) == 1
    assert "compared, a row a choice, got none; run python" in capsys.readouterr().err
