from __future__ import annotations

import pickle

from featbank.errors import AudioError


def test_an_error_says_what_expected_got_and_next() -> None:
    error = AudioError("audio a.wav", expected="16000 Hz", got=8000, hint="resample it")
    assert str(error) == "audio a.wav: expected 16000 Hz, got 8000; resample it"


def test_an_error_keeps_its_parts_on_the_way_between_processes() -> None:
    error = AudioError("audio a.wav", expected="16000 Hz", got=8000, hint="resample it")
    error.add_note("in a worker")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - what multiprocessing does
    assert type(again) is AudioError
    assert (str(again), again.expected, again.got) == (str(error), "16000 Hz", "8000")
