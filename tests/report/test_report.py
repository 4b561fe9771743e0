"""The report is one file that a person can read and that nothing hostile can use."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest

from featbank.errors import ConfigError
from featbank.report.charts import draw_usage
from featbank.report.figures import draw_features, draw_units
from featbank.report.metrics import metrics, pooled_usage
from featbank.report.page import render_report, write_report
from featbank.stability.result import DisturbedTokens, Flips, Stability
from featbank.validation.result import (
    CheckResult,
    Example,
    LengthHistogram,
    Problem,
    StoreCheck,
    read_check,
    write_check,
)
from featbank.validation.scan import make_example
from featbank.validation.usage import CodebookUsage
from tests.report.browsing import browse

HOSTILE = "<script>document.title='owned'</script>\"><img src=x onerror=alert(1)>$\\frac{$"
CORPUS: dict[str, Any] = {
    "name": "demo",
    "license": "CC0-1.0",
    "num_failures": 0,
    "splits": {
        "dev": {"utterances": 1, "hours": 0.001, "speakers": 1},
        "test": {"utterances": 0, "hours": 0, "speakers": 0},
        "train": {"utterances": 3, "hours": 0.5, "speakers": 2},
    },
}
LENGTHS = LengthHistogram(bin_s=2, counts={"dev": (0, 1), "train": (1, 2), "test": (0, 0)})


def header(*, shape: list[int], weights: str = "none", **changes: Any) -> dict[str, Any]:
    return {
        "name": "fbank",
        "dtype": "float32",
        "shape": shape,
        "frame_rate": 100.0,
        "first_frame_center_s": 0.0125,
        "framing": None,
        "fingerprint": "f" * 64,
        "numerics": [],
        "provenance": {
            "corpus": {"name": "demo", "license": "CC0-1.0"},
            "weights": {"source": weights, "digest": "d" * 64, "license": "MIT"},
            "versions": {"numpy": "2.4.0"},
        },
        **changes,
    }


def features(**changes: Any) -> CheckResult:
    values = np.random.default_rng(0).standard_normal((450, 80), np.float32)
    store = StoreCheck(
        name="fbank",
        split="train",
        header=header(shape=[80]),
        num_expected=3,
        num_utterances=3,
        num_frames=1234,
        num_bytes=2_345_678,
        num_shards=1,
        audio_s=1800.0,
        minimum=-1.0,
        mean=0.5,
        maximum=2.0,
        std=0.25,
        example=make_example("a-01", values),
    )
    return CheckResult(name="features/fbank", stores=(replace(store, **changes),), lengths=LENGTHS)


def tokens(usage: tuple[int, ...] = (4, 4, 0, 8)) -> CheckResult:
    store = StoreCheck(
        name="units",
        split="train",
        header=header(shape=[], dtype="uint8"),
        audio_s=2.0,
        codebooks=(CodebookUsage(frames=usage, runs=usage),),
        example=make_example("a-01", np.array([0, 0, 1, 3, 3], np.uint8)),
    )
    return CheckResult(name="tokens/fbank-kmeans", stores=(store,), lengths=LENGTHS)


def text_of(page: str) -> str:
    """What a person reads: no tags, no drawings, white space as one space."""
    visible = re.sub(r"<(style|svg).*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", visible.replace("<wbr>", "")).split())


def test_sound_stores_read_as_all_good() -> None:
    text = text_of(render_report([features(), tokens()], CORPUS))
    assert "All good" in text
    assert "Problems" not in text
    assert "Random weights" not in text
    assert "fbank/fbank ✓ 3 3 30.0 min 1,234 2.3 MB 100 float32 \u00d7 80 none" in text
    assert "train ✓ good 3 0 30.0 min 1,234 2.3 MB 1 -1 0.5 2 0.25" in text
    assert "train 3 30.0 min 2 dev 1 3.6 s 1 test 0 0 s 0 all 4 30.1 min" in text
    assert "corpus licence: CC0-1.0" in text


def stability(told: str, fingerprint: str = "f" * 64) -> dict[str, Stability]:
    noise = DisturbedTokens(
        told=told,
        num_utterances=3,
        num_frames=1234,
        flip_rate=1 / 32,
        unit_edit_distance=1 / 3,
        codebooks=(Flips(flip_rate=1 / 32, unit_edit_distance=1 / 3),),
    )
    name = "tokens/fbank-kmeans"
    found = Stability(
        name=name,
        seed=0,
        corpus="",
        sample={"train": ("a-01",)},
        fingerprints={"units": fingerprint},
        stores={"units": {"noise": noise}},
    )
    return {name: found}


def test_stability_stands_in_the_report_and_in_the_metrics() -> None:
    known = stability("noise <b>")
    text = text_of(render_report([features(), tokens()], CORPUS, known))
    assert "tokens/fbank-kmeans/units noise &lt;b&gt; 3 1,234 3.12% 33.33%" in text
    units = metrics([features(), tokens()], known)["tokens"]["fbank-kmeans"]["units"]
    assert units["stability"] == {"noise": {"flip_rate": 0.03125, "unit_edit_distance": 0.333333}}


@pytest.mark.parametrize("known", [{}, stability("noise", fingerprint="e" * 64)])
def test_stability_of_other_tokens_or_none_is_said_to_be_missing(
    known: dict[str, Stability],
) -> None:
    text = text_of(render_report([features(), tokens()], CORPUS, known))
    assert "fbank-kmeans/units: not measured: python stages/stability.py does" in text
    assert "3.12%" not in text
    assert "features/fbank/fbank: not measured" not in text
    assert "stability" not in str(metrics([features(), tokens()], known))


def test_problems_come_first_and_in_full() -> None:
    sentences = tuple(f"store features/fbank/fbank/train, utterance 'u{n}'" for n in range(10))
    result = features(problems=(Problem(kind="missing row", count=4_000, examples=sentences),))
    text = text_of(render_report([result], CORPUS))
    assert "All good" not in text
    assert "4,000 problems found missing row: 4,000." in text
    assert all(sentence.replace("'", "&#39;") in text for sentence in sentences)
    assert "and 3990 more like these: missing row, 4000 in all" in text
    assert text.index("4,000 problems found") < text.index("Stores Utterances of each split")


def test_split_in_which_all_failed_is_not_all_good() -> None:
    empty = replace(
        features().stores[0], split="dev", num_utterances=0, num_failures=3, mean=None, example=None
    )
    page = render_report([replace(features(), stores=(*features().stores, empty))], CORPUS)
    text = text_of(page)
    assert "All good" not in text
    assert 'class="verdict good"' not in page
    assert "dev all failed 0 of 3 3" in text
    assert (
        "No problem found, but every utterance failed in 1 store features/fbank/fbank/dev" in text
    )


def test_split_in_which_some_failed_is_good() -> None:
    assert "All good" in text_of(
        render_report([features(num_utterances=1, num_failures=2)], CORPUS)
    )


def test_problem_of_an_option_without_stores_is_shown() -> None:
    problem = Problem(kind="no store", count=1, examples=("features/x: expected stores, got none",))
    result = CheckResult(name="features/x", stores=(), lengths=LENGTHS, problems=(problem,))
    text = text_of(render_report([result], CORPUS))
    assert "1 problem found" in text
    assert "features/x: expected stores, got none" in text


def test_nothing_checked_is_not_all_good() -> None:
    text = text_of(render_report([], CORPUS))
    assert "Nothing was checked" in text
    assert "All good" not in text


def test_random_weights_are_loud_also_behind_tokens() -> None:
    random = header(shape=[80], weights="random")
    units = replace(
        tokens().stores[0],
        header=header(shape=[], provenance={"feature": random["provenance"], "codebook": {}}),
    )
    text = text_of(
        render_report([features(header=random), replace(tokens(), stores=(units,))], CORPUS)
    )
    assert (
        "Random weights: a dry run, not for training "
        "features/fbank/fbank/train, tokens/fbank-kmeans/units/train" in text
    )
    assert text.count("weights: random") == 2


@pytest.mark.parametrize("sources", ["none, random", "download, random", "file, none, random"])
def test_random_weights_of_one_of_several_extractors_are_as_loud(sources: str) -> None:
    text = text_of(render_report([features(header=header(shape=[80], weights=sources))], CORPUS))
    assert "Random weights: a dry run, not for training features/fbank/fbank/train" in text
    assert f"weights: {sources}" in text


def test_failures_are_told() -> None:
    text = text_of(render_report([features(num_failures=2)], {**CORPUS, "num_failures": 1}))
    assert "the manifests 1 manifests/demo/failures.jsonl" in text
    assert "train 2 features/demo/fbank/fbank/train/failures.jsonl" in text


def test_what_the_corpus_is_made_of_and_warns_of_is_told() -> None:
    splits = {"means": "speakers are in several splits", "count": 12, "examples": [HOSTILE, "ben"]}
    corpus = {
        **CORPUS,
        "sample_rates": {
            "8000": {"utterances": 1, "hours": 0.01}, "16000": {"utterances": 3, "hours": 2}
        },
        "channels": {"1": 3, "2": 1},
        "channel": "each",
        "speeds": [0.9, 1.0, 1.1],
        "tolerate": ["ogg_end"],
        "num_unlisted": 1200,
        "num_hidden": 0,
        "num_clipped": 7,
        "warnings": {"speakers": splits, "audio": {"means": "nothing", "count": 0, "examples": []}},
    }  # fmt: skip
    page = render_report([features()], corpus)
    text = text_of(page)
    assert "sampled at 8,000 Hz (1 utterance, 36 s), 16,000 Hz (3 utterances, 2.00 h)" in text
    assert "files by channels: 1: 3, 2: 1" in text
    assert "each channel of a file is an utterance" in text
    assert "splits to train on are played at speeds 0.9, 1, 1.1" in text
    assert "audio was taken in spite of: ogg_end" in text
    assert "1,200 audio files are in no table or left out" in text
    assert "7 segments ended up to a rounding behind their files" in text
    assert "are hidden" not in text
    assert "Speakers are in several splits: 12" in text
    assert "nothing" not in text
    assert HOSTILE not in page


def test_store_that_could_not_be_read_has_a_row() -> None:
    problem = Problem(kind="unreadable store", count=1, examples=("store x: expected a store",))
    store = StoreCheck(name="fbank", split="dev", num_expected=1, problems=(problem,))
    result = replace(features(), stores=(store,))
    text = text_of(render_report([result], CORPUS))
    assert "fbank/fbank ✗ 0 of 1 0 0 s 0 0 B - - -" in text
    assert "dev ✗ 1 0 of 1 0 0 s 0 0 B 0 - - - -" in text


def test_codebook_usage_is_put_into_numbers() -> None:
    text = text_of(render_report([tokens()], CORPUS))
    assert "Perplexity 2.8 of 4 (entropy 1.50 of 2.00 bits); 1 unit never used." in text


def test_provenance_names_licences_digests_and_versions() -> None:
    page = render_report([features(header=header(shape=[80], weights="download"))], CORPUS)
    text = text_of(page)
    for fact in ("weights licence MIT", "weights digest dddd", "versions numpy 2.4.0", "ffff"):
        assert fact in text
    assert "<details>" in page


def test_pictures_have_words_for_those_who_cannot_see_them() -> None:
    page = render_report([features(), tokens()], CORPUS)
    figures = re.findall(r"<figure>.*?</figure>", page, flags=re.DOTALL)
    assert len(figures) == 5
    for figure in figures:
        assert re.search(r'role="img" aria-label="[^"]{20,}"', figure)
        assert "<figcaption>" in figure
    assert "Utterance a-01: 450 frames of 80 dimensions, a column the mean of 3 frames" in page
    assert ">time (s)</text>" in page


def pixels_of(drawing: str) -> tuple[Any, list[float]]:
    """The first picture in an SVG as RGB (height, width, 3), and its transform onto the page."""
    [(data, numbers), *_] = re.findall(
        r'base64,([^"]*)" width="\d+" height="\d+" transform="matrix\(([^)]*)\)', drawing
    )
    image = matplotlib.image.imread(io.BytesIO(base64.b64decode(data)), format="png")
    return image[..., :3], [float(number) for number in numbers.split()]


def test_low_dimensions_are_at_the_bottom_of_a_feature_picture() -> None:
    values = np.zeros((16, 3), np.float32)
    values[:, 0], values[:, 2] = np.arange(16), -np.arange(16)
    drawing = draw_features(make_example("a", values), frame_rate=None, first_frame_center_s=None)
    image, (_, _, _, down, _, top) = pixels_of(drawing)
    brighter_later = image[:, -1].sum(axis=1) - image[:, 0].sum(axis=1)
    rising, falling = int(brighter_later.argmax()), int(brighter_later.argmin())
    assert {rising, falling} == {0, 2}
    assert rising * down + top > falling * down + top  # an SVG counts from the top


def test_each_dimension_is_drawn_to_its_own_scale() -> None:
    ramp = np.arange(16, dtype=np.float32)
    values = np.stack([1000 * ramp + 5000, 0.001 * ramp, np.full(16, 7, np.float32)], axis=1)
    image, _ = pixels_of(
        draw_features(make_example("a", values), frame_rate=None, first_frame_center_s=None)
    )
    np.testing.assert_allclose(image[0], image[1], atol=0.02)
    assert len(np.unique(image[1], axis=0)) == 16
    assert len(np.unique(image[2], axis=0)) == 1
    assert "each dimension is drawn scaled to mean 0" in render_report([features()], CORPUS)


def words_of(drawing: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", drawing)


@pytest.mark.parametrize("draw", [draw_features, draw_units])
def test_time_axis_begins_half_a_hop_before_the_first_frame_center(draw: Any) -> None:
    # 4 frames a second from 10.125 s: the first one spans 10.0 to 10.25 s
    values = np.ones((16, 3), np.float32) if draw is draw_features else np.ones(16, np.uint8)
    drawing = draw(make_example("a", values), frame_rate=4.0, first_frame_center_s=10.125)
    times = [float(word) for word in words_of(drawing) if re.fullmatch(r"1\d\.?\d*", word)]
    assert (min(times), max(times)) == (10, 14)


def test_units_are_drawn_as_a_strip_of_the_whole_utterance() -> None:
    units = np.repeat(np.array([3, 0, 3, 99], np.uint8), [100, 50, 150, 400])
    drawing = draw_units(make_example("a", units), frame_rate=100.0, first_frame_center_s=0.005)
    image, _ = pixels_of(drawing)
    assert image.shape == (1, 700, 3)
    colours = np.unique(image[0], axis=0)
    assert len(colours) == 3
    np.testing.assert_array_equal(image[0, 0], image[0, 299])
    assert "7" in words_of(drawing)


def test_picture_of_a_long_sequence_says_what_was_left_out() -> None:
    long = replace(tokens().stores[0], example=make_example("a", np.zeros(2500, np.uint8)))
    page = render_report([replace(tokens(), stores=(long,))], CORPUS)
    assert "2,500 frames, a colour a unit, one in 3 drawn" in page


def test_only_durations_are_drawn_as_durations() -> None:
    loudness = features(header=header(shape=[]), example=make_example("a", np.ones(9, np.float32)))
    page = render_report([loudness], CORPUS)
    assert "value" in words_of(page)
    assert "duration (frames)" not in words_of(page)
    grid = {"frame_rate": None, "first_frame_center_s": None}
    durations = features(
        name="durations",
        header=header(shape=[], **grid),
        example=make_example("a", np.ones(9, int)),
    )
    page = render_report([durations], CORPUS)
    assert "duration (frames)" in words_of(page)
    assert "Utterance a: 9 units" in page


def test_features_without_a_frame_rate_have_frames() -> None:
    grid = {"frame_rate": None, "first_frame_center_s": None}
    page = render_report([features(header=header(shape=[80], **grid))], CORPUS)
    assert "Utterance a-01: 450 frames of 80 dimensions" in page


def test_usage_is_drawn_by_rank() -> None:
    drawing = draw_usage((1, 5, 3))
    assert drawing == draw_usage((5, 3, 1))
    [path] = re.findall(r'd="([^"]*)"[^>]*fill: var\(--plot-1\)', drawing)
    heights = [float(y) for _, y in re.findall(r"([\d.]+) ([\d.]+)", path)]
    assert heights[1] < heights[3] < heights[5]  # from the top: the tallest first


def test_usages_of_unequal_lengths_are_reported() -> None:
    one, two = tokens().stores[0], replace(tokens((1, 2, 3, 4, 5)).stores[0], split="dev")
    problem = Problem(kind="splits unlike each other", count=1, examples=("x",))
    result = replace(tokens(), stores=(one, two), problems=(problem,))
    [usage] = pooled_usage(result)["units"]
    assert usage.frames == (5, 6, 3, 12, 5)
    assert "splits unlike each other" in render_report([result], CORPUS)


@pytest.mark.parametrize("odd", [{"feature": 5}, {"weights": "none", "corpus": 3}, {"versions": 1}])
def test_provenance_of_another_form_is_shown(odd: dict[str, Any]) -> None:
    result = features(header=header(shape=[80], provenance=odd))
    assert next(iter(odd)) in text_of(render_report([result], CORPUS))


def test_plots_have_a_file_a_curve_and_a_row_a_point(tmp_path: Path) -> None:
    small = replace(tokens((3, 1)), name="tokens/mfcc-kmeans2")
    write_report([features(), tokens(), small], CORPUS, tmp_path)
    assert read_curves(tmp_path / "codebook_usage") == {
        "fbank-kmeans": [(1, 0.5), (2, 0.25), (3, 0.25), (4, 0.0)],
        "mfcc-kmeans2": [(1, 0.75), (2, 0.25)],
    }
    assert read_curves(tmp_path / "utterance_lengths") == {
        "dev": [(0, 0), (2, 1)], "test": [(0, 0), (2, 0)], "train": [(0, 1), (2, 2)],
    }  # fmt: skip
    write_report([features()], CORPUS, tmp_path)
    assert read_curves(tmp_path / "codebook_usage") == {}  # of what is chosen no longer


def read_curves(folder: Path) -> dict[str, list[tuple[float, ...]]]:
    return {
        path.stem: [tuple(row.values()) for row in json.loads(path.read_text())]
        for path in folder.glob("*.json")
    }


def test_report_is_the_same_from_a_check_and_from_its_file(tmp_path: Path) -> None:
    results = [features(), tokens()]
    for result in results:
        write_check(result, tmp_path / result.name)
    read = [read_check(tmp_path / result.name) for result in results]
    assert render_report(results, CORPUS) == render_report(read, CORPUS)
    places = [render_report(read, CORPUS).index(f">{word} (") for word in ("train", "dev", "test")]
    assert places == sorted(places)


def test_value_that_is_no_number_is_drawn_apart() -> None:
    values = np.zeros((30, 4), np.float32)
    values[3, 1] = np.nan
    sound = features(example=make_example("a-01", np.zeros((30, 4), np.float32)))
    damaged = features(example=make_example("a-01", values))
    assert render_report([sound], CORPUS) != render_report([damaged], CORPUS)


def test_utterance_of_one_frame_and_all_nan_is_drawn() -> None:
    example = Example(
        id="a", num_frames=1, frames_per_column=1, values_per_cell=1, columns=((None, None),)
    )
    assert "Utterance a: 1 frame of 80 dimensions" in render_report(
        [features(example=example)], CORPUS
    )


def test_page_needs_no_other_file_and_runs_no_script() -> None:
    page = render_report([features(), tokens()], CORPUS)
    targets = re.findall(r"(?:src|href|action|data|srcset)\s*=\s*[\"']([^\"']*)", page)
    targets += re.findall(r"url\(([^)]*)\)", page)
    assert targets
    assert {target for target in targets if not target.startswith(("#", "data:image/png"))} == set()
    assert "@import" not in page
    assert "<script" not in page
    addresses = set(re.findall(r"https?://[^\"'<\s]*", page))
    assert addresses == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_ids_of_drawings_stand_once_on_the_page() -> None:
    page = render_report([features(), tokens()], CORPUS)
    drawing_ids = re.findall(r'<(?:path|clipPath|image|g)[^>]* id="([^"]*)"', page)
    assert drawing_ids
    assert len(drawing_ids) == len(set(drawing_ids))
    ids = re.findall(r' id="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="|url\()#([^")]*)', page)) <= set(ids)


def hostile_results() -> list[CheckResult]:
    problem = Problem(kind=HOSTILE, count=1, examples=(HOSTILE,))
    values = np.zeros((5, 80), np.float32)
    evil = header(shape=[80], weights=HOSTILE, fingerprint=HOSTILE)
    store = features().stores[0]
    store = replace(
        store,
        name=HOSTILE,
        split=HOSTILE,
        header=evil,
        problems=(problem,),
        example=make_example(HOSTILE, values),
    )
    lengths = LengthHistogram(bin_s=1, counts={"train": (1,), HOSTILE: (1,)})
    return [CheckResult(name=HOSTILE, stores=(store,), lengths=lengths)]


def test_hostile_text_is_escaped_everywhere() -> None:
    page = render_report(hostile_results(), {**CORPUS, "name": HOSTILE, "license": HOSTILE})
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("&lt;script&gt;document.title=") >= 8


def test_same_checks_give_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    results = [features(), tokens()]
    for number, result in enumerate(results):
        write_check(result, tmp_path / f"{number}.json")
    code = (
        "import sys\n"
        "from featbank.validation.result import read_check\n"
        "from featbank.report.page import render_report\n"
        "results = [read_check(path) for path in sys.argv[1:3]]\n"
        f"sys.stdout.write(render_report(results, {CORPUS!r}))\n"
    )
    files = [str(tmp_path / f"{number}.json") for number in range(2)]
    pages = {
        subprocess.run(
            [sys.executable, "-c", code, *files],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert pages == {render_report([read_check(path) for path in files], CORPUS)}


@pytest.mark.slow
def test_browser_runs_nothing_that_a_hostile_id_holds(tmp_path: Path) -> None:
    # without the page's own policy, so that escaping alone has to hold
    page = render_report(hostile_results(), {**CORPUS, "name": HOSTILE})
    unguarded = re.sub(r"<meta http-equiv[^>]*>", "", page)
    assert unguarded != page
    document = browse(unguarded, tmp_path, "--dump-dom")
    assert "<title>owned" not in document
    assert "<script" not in document
    assert "<img" not in document
    assert document.count("<svg") == 2


@pytest.mark.slow
def test_browser_draws_the_report(tmp_path: Path) -> None:
    screenshot = tmp_path / "report.png"
    page = render_report([features(), tokens()], CORPUS)
    browse(page, tmp_path, f"--screenshot={screenshot}", "--window-size=800,2000")
    pixels = matplotlib.image.imread(screenshot)
    assert pixels.shape[:2] == (2000, 800)
    # a heat map has hundreds of colours, words and bars alone have few
    levels = (pixels[..., :3] * 255).astype(np.int64)
    assert len(np.unique(levels @ [1 << 16, 1 << 8, 1])) > 500


def test_what_steers_a_reader_is_shown_and_what_is_a_tag_is_none() -> None:
    evil = "</td><script>alert(1)</script>\x1b[2J\u202egpj\u2066"
    problem = Problem(kind="no store", count=1, examples=(evil,))
    corpus = {**CORPUS, "license": evil, "name": evil}
    page = render_report([features(problems=(problem,))], corpus)
    assert "<script>alert" not in page
    assert not {"\x1b", "\u202e", "\u2066"} & set(page)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[2J\\u202egpj\\u2066" in page


@pytest.mark.parametrize(
    "odd",
    [
        {"warnings": {"a": {"bount": 1}}},
        {"warnings": 3},
        {"sample_rates": {"x": {"utterances": 1, "hours": 1}}},
        {"splits": {"train": {"hours": 1}}},
        {"num_failures": None},
    ],
)
def test_a_corpus_of_another_form_is_refused_before_anything_is_written(
    odd: dict[str, Any], tmp_path: Path
) -> None:
    write_report([features()], CORPUS, tmp_path / "good")
    with pytest.raises(ConfigError, match="corpus summary: expected what prepare counts"):
        write_report([features()], {**CORPUS, **odd}, tmp_path / "odd")
    assert not (tmp_path / "odd").exists()
