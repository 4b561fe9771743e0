"""The page in a browser and out of it: small, readable everywhere, and all of it within reach."""

from __future__ import annotations

import base64
import html
import json
import re
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markupsafe import Markup

from featbank.base.failure_kinds import failures_by_kind
from featbank.base.failures import Failure
from featbank.report import page as making
from featbank.report.charts import draw_confusion
from featbank.report.clips import Clip, Clips
from featbank.report.figures import draw_features
from featbank.report.page import render_report
from featbank.report.pictures import Picture, Pictures
from featbank.report.rendering import environment
from featbank.report.stamp import PageStamp
from featbank.validation.agreement import Agreement, LabelCheck
from featbank.validation.confusion import MAX_LABELS, MAX_UNITS, UnitConfusion
from featbank.validation.result import CheckResult, LengthHistogram, Problem, StoreCheck
from featbank.validation.scan import make_example
from featbank.validation.usage import CodebookUsage
from tests.report.browsing import browse

SPLITS = ("train", "dev", "test")
CORPUS: dict[str, Any] = {
    "name": "large",
    "license": "CC0-1.0",
    "num_failures": 1_000,
    "splits": {split: {"utterances": 333_333, "hours": 500, "speakers": 9} for split in SPLITS},
}
LENGTHS = LengthHistogram(bin_s=1, counts=dict.fromkeys(SPLITS, (0, 300_000, 33_333)))
FAILED = failures_by_kind(
    Failure(id=f"u-{n}", audio=f"{n}.flac", kind=kind, error="x" * 400)
    for n in range(500)
    for kind in ("missing", "truncated")
)
_RANDOM = np.random.default_rng(0)


def header(shape: list[int]) -> dict[str, Any]:
    return {
        "dtype": "float32",
        "shape": shape,
        "frame_rate": 100.0,
        "first_frame_center_s": 0.0125,
        "framing": None,
        "fingerprint": "f" * 64,
        "numerics": [{"device": "cpu", "variables": {}}] * 4,
        "provenance": {"extractor": {f"argument {n}": n for n in range(60)}},
    }


def features(number: int) -> CheckResult:
    """A choice of which each store has more problems than anybody reads."""
    sentence = f"store features/f{number}, utterance 'u': expected 1 frame, got another" * 3
    stores = tuple(
        StoreCheck(
            name=f"f{number}",
            split=split,
            header=header([768]),
            num_expected=333_333,
            num_utterances=333_000,
            num_failures=333,
            audio_s=1.8e6,
            num_frames=180_000_000,
            example=make_example("u-1", _RANDOM.standard_normal((900, 768), np.float32)),
            failures=FAILED,
            problems=(Problem(kind="wrong number of frames", count=10, examples=(sentence,) * 10),),
        )
        for split in SPLITS
    )
    return CheckResult(name=f"features/f{number}", stores=stores, lengths=LENGTHS)


def tokens(number: int, size: int = 2000) -> CheckResult:
    usage = CodebookUsage(frames=tuple(range(size)), runs=tuple(range(size)))
    agreement = Agreement(phone_purity=0.5, cluster_purity=0.5, pnmi=0.5)
    names = [f"phone {n}" for n in range(60)]
    stores = tuple(
        StoreCheck(
            name="units",
            split=split,
            header=header([]),
            num_expected=333_333,
            num_utterances=333_333,
            audio_s=1.8e6,
            codebooks=(usage,),
            labels=LabelCheck(
                num_labels=60, num_frames=9, num_unlabelled=0, codebooks=(agreement,)
            ),
            # of a few: each takes a second to draw
            confusion=UnitConfusion.of(names, _RANDOM.integers(0, 99, (60, size)))
            if number < 3
            else None,
            example=make_example("u-1", _RANDOM.integers(0, size, 900)),
        )
        for split in SPLITS
    )
    return CheckResult(name=f"tokens/t{number}", stores=stores, lengths=LENGTHS)


def noise(split: str) -> Clip:
    waveform = _RANDOM.uniform(-1, 1, 5 * 16_000).astype(np.float32)
    return Clip(split=split, id="u-1", waveform=waveform, sample_rate=16_000, whole_s=9.0)


@pytest.fixture(scope="module")
def large() -> str:
    """A page on a million utterances and thirty choices, each of which has too much to say."""
    results = [*map(features, range(10)), *map(tokens, range(20))]
    clips = Clips(read=tuple(noise(split) for split in SPLITS))
    return render_report(results, CORPUS, clips=clips, failed=FAILED)


class Elements(HTMLParser):
    """Counts elements, and follows headings and table cells."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.count = 0
        self.levels: list[int] = []
        self.without_scope: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count += 1
        if re.fullmatch(r"h[1-6]", tag):
            self.levels.append(int(tag[1]))
        if tag == "th" and "scope" not in dict(attrs):
            self.without_scope.append(str(attrs))


def test_page_of_a_million_utterances_and_thirty_choices_stays_small(large: str) -> None:
    assert len(large.encode()) < 2_000_000
    assert Elements(large).count < 12_000
    assert large.count("<audio") == 3
    assert "for which this page has no room" not in large
    assert "and 9 more: the checks have some" in large  # of the problems that are too many to name
    assert "8 more not drawn" in large  # of twenty rows of tokens
    assert "features/large/f9/f9/train/failures.jsonl" in large


def test_pictures_that_a_page_has_no_room_for_are_counted_and_not_drawn() -> None:
    drawn: list[int] = []

    def draw(size: int) -> Picture:
        drawn.append(size)
        return Picture(title="", drawing=Markup("x" * size), caption="")  # noqa: S704

    pictures = Pictures(max_bytes=10)
    taken = pictures.within(partial(draw, size) for size in (6, 8, 7, 1))
    assert ([len(one.drawing) for one in taken], drawn) == ([6], [6, 8])
    assert len(pictures.within(partial(draw, size) for size in (3, 1))) == 2  # of another kind
    assert pictures.num_left_out == 3


def test_a_page_says_how_many_pictures_it_has_no_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "Pictures", lambda: Pictures(max_bytes=1))
    page = render_report([tokens(3, 9)], CORPUS)
    assert "6 pictures more, for which this page has no room" in page
    assert "<svg" not in page


def test_images_of_few_colours_have_a_palette_and_places_two_decimals() -> None:
    values = _RANDOM.standard_normal((300, 80), np.float32)
    drawing = draw_features(make_example("u", values), frame_rate=50.0, first_frame_center_s=0.01)
    images = [base64.b64decode(one) for one in re.findall(r'base64,([^"]*)"', drawing)]
    assert images[0][25] == 3  # the colour type of PNG
    assert not re.search(r' (?:d|x|y)="[^"]*\.\d{3}', drawing)
    assert "<g>" not in drawing
    assert drawing.count("<g") == drawing.count("</g>")


def test_headings_step_down_by_one_and_all_header_cells_say_what_they_head(large: str) -> None:
    elements = Elements(large)
    assert elements.levels[0] == 1
    steps = np.diff(elements.levels)
    assert steps.max() == 1
    assert elements.without_scope == []
    assert large.index('class="skip"') < large.index("<nav") < large.index("<main")
    for title in re.findall(r'<section id="[^"]*" aria-labelledby="([^"]*)"', large):
        assert f'<h2 id="{title}">' in large
    for target in re.findall(r'<li><a href="#([^"]*)"', large):
        assert f'<section id="{target}"' in large


_MEASURE = """
<script>
onload = () => {
const seen = [];
for (const frame of document.querySelectorAll("iframe")) {
  const page = frame.contentDocument, root = page.documentElement;
  const shown = (name) => page.querySelector(name).getClientRects().length > 0;
  seen.push({
    overflow: root.scrollWidth - root.clientWidth,
    menu: shown("nav"), button: shown(".open button"),
    scrolls: [...page.querySelectorAll(".scroll")].some(
      (one) => one.clientWidth && one.scrollWidth > one.clientWidth),
    folded: page.querySelectorAll("details:not([open])").length > 0,
    sounds: [...page.querySelectorAll("audio")].map((one) => one.duration),
  });
}
document.title = JSON.stringify(seen);
};
</script>
"""


@pytest.mark.slow
def test_browser_shows_the_page_at_any_width_and_knows_how_long_sounds_are(tmp_path: Path) -> None:
    results = [replace(features(1), stores=features(1).stores[:1]), tokens(1, 50)]
    page = render_report(results, CORPUS, clips=Clips(read=(noise("train"),)))
    frames = "".join(
        f'<iframe style="border: 0; width: {width}px; height: 800px" '
        f'srcdoc="{html.escape(page)}"></iframe>'
        for width in (390, 1280)
    )
    document = browse(
        f"<!doctype html><body>{frames}{_MEASURE}", tmp_path, "--dump-dom",
        "--virtual-time-budget=10000",
    )  # fmt: skip
    [told] = re.findall(r"<title>(\[.*?\])</title>", document)
    narrow, wide = json.loads(html.unescape(told))
    assert narrow["overflow"] == wide["overflow"] == 0
    assert (narrow["menu"], narrow["button"], narrow["scrolls"]) == (False, True, True)
    assert (wide["menu"], wide["button"]) == (True, False)
    assert narrow["folded"]
    assert narrow["sounds"] == wide["sounds"] == [5]


def colours(dark: bool) -> dict[str, str]:
    style = environment().get_template("style.css.j2").render()
    found = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    read = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", one)) for one in found]
    assert len(read) == 2
    return read[0] | read[1] if dark else read[0]


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("dark", [False, True])
def test_words_and_curves_stand_out_in_light_and_dark(dark: bool) -> None:
    named = colours(dark)
    grounds = {name: ["page", "card"] for name in ("ink", "soft", "focus", "good", "bad", "warn")}
    grounds |= {name: ["page", "card"] for name in named if name.startswith("plot-")}
    for name in ("good", "bad", "warn"):
        grounds[name].append(f"{name}-tint")
        grounds["ink"].append(f"{name}-tint")
    assert len(grounds) == 10
    for name, behind in grounds.items():
        for ground in behind:
            both = sorted(luminance(named[one]) for one in (name, ground))
            assert (both[1] + 0.05) / (both[0] + 0.05) >= 4.5, (name, ground)


def test_units_stand_in_the_order_of_the_label_that_goes_best_with_them() -> None:
    joint = np.array([[0, 1, 0, 1], [9, 0, 2, 0], [0, 0, 0, 6]])
    found = UnitConfusion.of(["sil", "ah", "s"], joint)
    assert found == UnitConfusion(
        labels=("ah", "s", "sil"),
        units=(0, 2, 3, 1),
        frames=((9, 2, 0, 0), (0, 0, 6, 0), (0, 0, 1, 1)),
        unit_frames=(9, 2, 7, 1),
        num_labels=3,
        num_units=4,
    )
    assert found is not None
    assert ">sil</text>" in draw_confusion(found)
    assert UnitConfusion.of(["a"], np.zeros((1, 2), int)) is None
    most = UnitConfusion.of([f"{n}" for n in range(99)], np.ones((99, 999), int))
    assert most is not None
    assert (len(most.labels), len(most.units)) == (MAX_LABELS, MAX_UNITS)


def test_failures_are_counted_by_kind_and_some_are_named() -> None:
    assert [(one.kind, one.count, len(one.examples)) for one in FAILED] == [
        ("missing", 500, 10), ("truncated", 500, 10)
    ]  # fmt: skip
    assert FAILED[0].examples[0].startswith("u-0 (xxx")
    page = render_report([], CORPUS, failed=FAILED)
    assert "missing 500, truncated 500" in page
    assert page.count("<li>u-0 (") == 2


def test_only_a_page_to_hand_on_says_when_it_was_made() -> None:
    stamp = PageStamp(
        made_at="2026-11-30T12:00:00+00:00",
        revision="abc123",
        is_dirty=True,
        lock="d" * 64,
        versions={"dvc": "3.67"},
    )
    page = render_report([], CORPUS, stamp=stamp)
    assert "2026-11-30T12:00:00" in page
    assert "abc123, and tracked files differ from it" in page
    plain = render_report([], CORPUS)
    assert "stamp=true paths.report=FOLDER" in plain
    assert "2026" not in plain
