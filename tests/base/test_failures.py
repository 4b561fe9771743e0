from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from featbank.base.failures import Failure, check_budget, read_failures, write_failures
from featbank.errors import AudioError, ConfigError, FailureBudgetError, FeatbankError

BAD = [
    Failure(id="b", audio="b.wav", error="audio b.wav", expected="samples", got="none"),
    Failure(id="a", audio="a.wav", error="audio a.wav", expected="a FLAC file", got="text"),
]


def test_a_list_is_read_back_in_the_order_of_ids(tmp_path: Path) -> None:
    write_failures(tmp_path / "failures.jsonl", BAD)
    assert read_failures(tmp_path / "failures.jsonl") == [BAD[1], BAD[0]]
    assert read_failures(tmp_path / "none.jsonl") == []


def test_a_list_survives_characters_that_end_a_line_elsewhere(tmp_path: Path) -> None:
    odd = [Failure(id="a", audio="a\u2028b.wav", error="not\x85read")]
    write_failures(tmp_path / "failures.jsonl", odd)
    assert read_failures(tmp_path / "failures.jsonl") == odd


def test_an_error_becomes_a_failure_with_its_parts() -> None:
    error = AudioError("audio /corpora/mine/b.wav", expected="samples", got="none")
    assert Failure.of(error, id="b", audio="b.wav", root="/corpora/mine") == BAD[0]


@pytest.mark.parametrize(("total", "budget"), [(2, 2), (4, 0.5), (1000, 2.0)])
def test_a_run_within_its_budget_goes_on(total: int, budget: float, tmp_path: Path) -> None:
    check_budget(BAD, total=total, max_failures=budget, path=tmp_path / "failures.jsonl")
    assert not (tmp_path / "failures.jsonl").exists()


@pytest.mark.parametrize(("total", "budget"), [(2, 0), (2, 1), (3, 0.5)])
def test_a_run_over_its_budget_ends_and_leaves_the_list(
    total: int, budget: float, tmp_path: Path
) -> None:
    path = tmp_path / "failures.jsonl"
    with pytest.raises(
        FailureBudgetError, match=r"2 of . utterances failed, the first 'a'"
    ) as caught:
        check_budget(BAD, total=total, max_failures=budget, path=path)
    assert str(path) in str(caught.value)
    assert [failure.id for failure in read_failures(path)] == ["a", "b"]


@pytest.mark.parametrize("budget", [1.5, 2.000001])
def test_half_an_utterance_cannot_fail(budget: float, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected whole utterances, or a share below 1, got"):
        check_budget(BAD, total=9, max_failures=budget, path=tmp_path / "failures.jsonl")


def test_a_negative_budget_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="max_failures: expected a number from 0 on, got -1"):
        check_budget(BAD, total=2, max_failures=-1, path=tmp_path / "failures.jsonl")


def test_a_failure_keeps_the_kind_of_its_error() -> None:
    error = AudioError("audio b.wav", kind="truncated", expected="samples", got="none")
    assert Failure.of(error, id="b", audio="b.wav", root="/corpora/mine").kind == "truncated"
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - what multiprocessing does
    assert (type(again), again.kind, str(again)) == (AudioError, "truncated", str(error))


@pytest.mark.parametrize("fields", ['"kind": "sad"', '"kind": 3', '"got": null', '"more": ""'])
def test_a_list_with_something_else_in_it_is_damaged(fields: str, tmp_path: Path) -> None:
    path = tmp_path / "failures.jsonl"
    row = '{"id": "a", "audio": "a.wav", "error": "audio a.wav", '
    path.write_text(row + '"kind": "empty"}\n')
    assert [failure.kind for failure in read_failures(path)] == ["empty"]
    path.write_text(row + fields + "}\n")
    with pytest.raises(FeatbankError, match=r"failures.jsonl: expected its rows"):
        read_failures(path)


def test_a_list_of_before_the_kinds_is_read(tmp_path: Path) -> None:
    path = tmp_path / "failures.jsonl"
    path.write_text('{"audio":"a.wav","error":"audio a.wav","expected":"","got":"","id":"a"}\n')
    assert read_failures(path) == [Failure(id="a", audio="a.wav", error="audio a.wav")]


def test_what_is_no_unicode_is_escaped_in_a_list(tmp_path: Path) -> None:
    odd = Failure(id="caf\udce9", audio="caf\udce9.wav", error="\ud800", got="café")
    write_failures(tmp_path / "failures.jsonl", [odd])
    [failure] = read_failures(tmp_path / "failures.jsonl")
    assert (failure.id, failure.audio) == ("caf\\udce9", "caf\\udce9.wav")
    assert (failure.error, failure.got) == ("\\ud800", "café")
