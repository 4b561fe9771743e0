"""A report lets people see and hear an utterance of each split, and names whose it is."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from featbank.audio import scan_audio
from featbank.base.manifest import Utterance, write_manifest
from featbank.base.sought import Sought, Traces
from featbank.base.units import DURATIONS, UNITS, deduplicate
from featbank.pipeline.contents import find_content, sniff
from featbank.report import clips as reading
from featbank.report.aligned import strips_of
from featbank.report.clips import ClipPlan, Clips, read_clips
from featbank.report.page import render_report
from featbank.report.spectrograms import spectrogram
from featbank.validation.result import CheckResult, LengthHistogram, StoreCheck
from featbank.validation.scan import make_example
from featbank.validation.usage import CodebookUsage

RATE = 8000
GRID = {"sample_rate": RATE, "window_length": 80, "hop_length": 80, "snip_edges": True}
HEADER: dict[str, Any] = {
    "name": UNITS,
    "dtype": "uint8",
    "shape": [],
    "frame_rate": 100.0,
    "first_frame_center_s": 0.005,
    "framing": GRID,
    "fingerprint": "f" * 64,
    "numerics": [],
    "provenance": {},
}
CORPUS: dict[str, Any] = {
    "name": "heard",
    "license": "CC0-1.0",
    "num_failures": 0,
    "splits": {"train": {"utterances": 300, "hours": 0.1, "speakers": 1}},
}
LENGTHS = LengthHistogram(bin_s=1, counts={"train": (300,)})
TOKENS = np.repeat(np.array([3, 0, 3, 7], np.uint8), [30, 20, 10, 140])


def tone(seconds: float, hz: float = 1000) -> np.ndarray[Any, np.dtype[np.float32]]:
    time_s = np.arange(round(seconds * RATE)) / RATE
    return (0.5 * np.sin(2 * np.pi * hz * time_s)).astype(np.float32)


def tokens(option: str, values: Any = TOKENS) -> CheckResult:
    store = StoreCheck(
        name=UNITS,
        split="train",
        header=HEADER,
        audio_s=2.0,
        codebooks=(CodebookUsage(frames=(1,) * 8, runs=(1,) * 8),),
        example=make_example("ann/u-007", values),
    )
    return CheckResult(name=f"tokens/{option}", stores=(store,), lengths=LENGTHS)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of one utterance of 2 s that can be read, among rows that cannot."""
    folder = tmp_path_factory.mktemp("heard")
    soundfile.write(folder / "a.flac", tone(2.0), RATE)
    digest = scan_audio(folder / "a.flac").digest
    rows = [
        Utterance(
            id=f"ann/u-{number:03}",
            audio="a.flac" if number == 7 else "absent.flac",
            audio_digest=digest,
            sample_rate=RATE,
            num_samples=2 * RATE,
            text='a text with "id":"ann/u-007" in it',
        )
        for number in range(300)
    ]
    write_manifest(folder / "train.jsonl", rows)
    return folder


def plan(corpus: Path, **changes: Any) -> ClipPlan:
    made = ClipPlan(
        manifests=corpus, root=str(corpus), license="CC0-1.0", number=3, max_s=1.5, unheard=()
    )
    return replace(made, **changes)


@pytest.fixture(scope="module")
def heard(corpus: Path) -> Clips:
    return read_clips([tokens("a"), tokens("b")], plan(corpus))


def test_the_sound_is_the_beginning_of_the_utterance_that_all_stores_show(heard: Clips) -> None:
    [clip] = heard.read
    assert (clip.id, clip.split, clip.duration_s, clip.whole_s) == ("ann/u-007", "train", 1.5, 2.0)
    page = render_report([tokens("a"), tokens("b")], CORPUS, clips=heard)
    [coded] = re.findall(r'<audio [^>]*src="data:audio/flac;base64,([^"]*)"', page)
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(coded)), dtype="float32")
    assert rate == RATE
    np.testing.assert_allclose(samples, tone(1.5), atol=1e-4)
    assert "1.5 s of 2.0 s at 8,000 Hz: energy by frequency" in page
    assert "tokens of 2 stores, a colour a token" in page
    assert page == render_report([tokens("a"), tokens("b")], CORPUS, clips=heard)


def test_each_manifest_is_read_once(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []

    def counted(file: Any) -> Iterator[bytes]:
        for line in file:
            read.append(line)
            yield line

    monkeypatch.setattr(reading, "bounded_lines", counted)
    read_clips([tokens(f"{number}") for number in range(30)], plan(corpus))
    assert len(read) == 8  # up to the row that is shown


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"number": 0}, "sounds is 0 in conf/report.yaml"),
        ({"root": "s3://bucket/heard"}, "the audio of the corpus is elsewhere"),
        ({"root": "absent/folder"}, "the audio of the corpus is not here"),
        ({"unheard": ["cc0*"]}, "its terms are 'CC0-1.0', which unheard of conf/report.yaml names"),
    ],
)
def test_audio_that_is_elsewhere_or_not_to_be_copied_is_not_heard_and_said_so(
    corpus: Path, changes: dict[str, Any], told: str
) -> None:
    found = read_clips([tokens("a")], plan(corpus, **changes))
    assert found.read == ()
    page = render_report([tokens("a")], CORPUS, clips=found)
    assert "<audio" not in page
    assert told.replace("'", "&#39;") in page[page.index('id="unchecked"') :]
    assert "tokens/a" in page  # its units are drawn still


def test_splits_beyond_the_number_of_sounds_are_named(corpus: Path) -> None:
    train = tokens("a").stores[0]
    stores = tuple(replace(train, split=split) for split in ("train", "dev", "test"))
    found = read_clips([replace(tokens("a"), stores=stores)], plan(corpus, number=1))
    assert [clip.split for clip in found.read] == ["train"]
    assert found.lacking == ("no sound of dev, test: sounds is 1 in conf/report.yaml",)


@pytest.mark.parametrize("damage", ["absent", "changed"])
def test_audio_that_is_not_as_it_was_prepared_is_not_heard(
    corpus: Path, tmp_path: Path, damage: str
) -> None:
    if damage == "changed":
        soundfile.write(tmp_path / "a.flac", tone(2.0, 500), RATE)
    [told] = read_clips([tokens("a")], plan(corpus, root=str(tmp_path))).lacking
    assert told.startswith("no sound of train: the audio is not as it was prepared")


def test_where_finds_a_person_in_a_page_that_holds_their_sound(heard: Clips) -> None:
    page = render_report([tokens("a")], CORPUS, clips=heard).encode()
    traces = Traces(Sought(ids=frozenset(["ann/u-007"])))
    found = find_content(io.BytesIO(page), sniff(page), "report.html", traces)
    assert found is not None
    assert (found.kind, found.ids) == ("report", ("ann/u-007",))


def test_a_tone_is_bright_at_its_frequency_all_the_time() -> None:
    picture = spectrogram(tone(1.0), RATE)
    assert picture.shape == (96, 100)
    assert (picture.max(), picture.min()) == (0, -70)
    band = round(1000 / (RATE / 2) * 96)
    assert set(picture[:, 5:-5].argmax(axis=0)) <= {band - 1, band}
    assert spectrogram(tone(0.001), RATE).shape[0] == 96


def test_merged_units_are_drawn_where_they_sound() -> None:
    plain = tokens("plain")
    units, durations = deduplicate(TOKENS)
    unheard_of = {"frame_rate": None, "first_frame_center_s": None}
    merged = [
        replace(
            plain.stores[0],
            name=name,
            header={**HEADER, **unheard_of, "name": name},
            codebooks=plain.stores[0].codebooks if name == UNITS else None,
            example=make_example("ann/u-007", values),
        )
        for name, values in ((DURATIONS, durations), (UNITS, units))
    ]
    [one] = strips_of([plain], "train", "ann/u-007")
    [other] = strips_of([replace(plain, stores=tuple(merged))], "train", "ann/u-007")
    assert one.example.columns == other.example.columns
    assert one.extent == other.extent == pytest.approx((0.0, 2.0))
    assert list(strips_of([plain], "train", "another")) == []
