"""What a step shows: phases, amounts, speed and time left, on a terminal and in a log."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import pytest

from featbank.base.notices import AT_WORK, Notice, listening, tell
from featbank.base.progress import LogLines, progress_bar
from featbank.base.step_meter import BYTES, StepMeter


@dataclass
class HandClock:
    """A clock that is set by hand."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Shown:
    """A step over an hour of audio, as a log shows it, and its clock."""

    clock: HandClock = field(default_factory=HandClock)

    def __post_init__(self) -> None:
        self.meter = StepMeter("extract fbank", 3600.0, clock=self.clock)
        self.lines = LogLines([self.meter], clock=self.clock, is_ticking=False)

    def run(self, seconds: int, *, done_a_second: float = 0.0) -> None:
        for _ in range(seconds):
            self.clock.now += 1
            self.meter.advance(done_a_second)
            self.lines.tick()


@pytest.fixture
def shown(caplog: pytest.LogCaptureFixture) -> Shown:
    caplog.set_level(logging.INFO)
    return Shown()


def test_time_left_and_speed_are_of_what_is_computed_alone(shown: Shown) -> None:
    shown.meter.hear(Notice(reused=1800))  # taken over in no time, and no word about the rest
    shown.meter.advance(1800)
    assert shown.meter.left_s is None
    shown.run(20)
    shown.meter.hear(Notice(phase="loading weights"))
    shown.run(40)
    shown.meter.hear(Notice(phase=AT_WORK))
    shown.run(10, done_a_second=32)
    assert shown.meter.speed == pytest.approx(32)  # and not of the minute before
    assert shown.meter.left_s == pytest.approx((1800 - 320) / 32)
    shown.meter.hear(Notice(failures=3))
    told = "extract fbank: 0.59 of 1.0 h, 0:01:10 elapsed, 0:00:46 left, 32 x real time, 3 failures"
    assert shown.meter.said() == told
    assert shown.meter.said_short() == "0.59 of 1.0 h, 0:01:10, 0:00:46 left, 32 x, 3 failures"


@pytest.mark.parametrize(
    ("speed", "told"), [(0.38, "0.38 x"), (3.21, "3.2 x"), (41.4, "41 x"), (1230.0, "1,230 x")]
)
def test_a_speed_has_two_digits_below_ten(shown: Shown, speed: float, told: str) -> None:
    shown.run(2, done_a_second=speed)
    assert shown.meter.said_short().endswith(f" left, {told}")


def test_ten_hours_are_600_lines_of_a_log_and_five_seconds_none(
    shown: Shown, caplog: pytest.LogCaptureFixture
) -> None:
    shown.run(5, done_a_second=0.1)
    assert caplog.messages == []
    shown.run(36_000 - 5, done_a_second=0.1)
    assert len(caplog.messages) == 600
    assert caplog.messages[-1].startswith("extract fbank: 1.0 of 1.0 h, 10:00:00 elapsed, 0:00:00")


def test_a_phase_is_a_line_of_a_log_when_it_begins_and_no_more(
    shown: Shown, caplog: pytest.LogCaptureFixture
) -> None:
    with listening(shown.lines.hear):
        for _ in range(3):
            tell(phase="starting 2 workers")
            tell(phase=AT_WORK)
    assert caplog.messages == [
        "extract fbank: starting 2 workers",
        "extract fbank: 1.0 h of audio to go",
    ]
    shown.lines.hear(Notice(phase="publishing"))
    shown.run(60)
    assert caplog.messages[-1] == "extract fbank: publishing, 0:01:00 elapsed"


def test_counts_and_bytes_are_told_in_their_own_words() -> None:
    rows = StepMeter("export to kaldi", 50_000, unit="utterances", clock=HandClock())
    rows.advance(1200)
    assert rows.said() == "export to kaldi: 1,200 of 50,000 utterances, 0:00:00 elapsed"
    files = StepMeter("verify", unit=BYTES, clock=HandClock())
    files.advance(2_500_000)
    files.hear(Notice(total=5e6))
    assert files.said() == "verify: 2.50 MB of 5.00 MB, 0:00:00 elapsed"


def test_a_step_within_another_is_shown_in_its_place(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with progress_bar("extract"):
        tell(phase="loading libraries")
        with progress_bar("extract fbank", 60.0):
            tell(phase="reading manifests")
        tell(phase="drawing the report")
    assert caplog.messages == [
        "extract: loading libraries",
        "extract fbank: reading manifests",
        "extract: drawing the report",
    ]


def test_a_step_that_is_to_be_silent_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with progress_bar("features of train", 7, unit="utterances", show=False) as advance:
        tell(phase="loading weights")
        advance(1)
    assert caplog.messages == []
