"""The far away server of `python -m benchmarks remote` serves what is asked for, and counts it."""

from __future__ import annotations

from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path

from benchmarks.range_server import far_away, num_sequential


def test_ranges_are_served_and_what_was_asked_for_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(range(100)))
    with far_away(tmp_path, latency_s=0.0, bytes_per_s=1e9) as line:
        assert line.answers() == []
        connection = HTTPConnection(line.url.removeprefix("http://"))
        found = []
        for path, headers in (("/x", {"Range": "bytes=3-9"}), ("/x", {}), ("/y", {})):
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            found.append((answer.status, answer.read()))
        connection.close()
        assert found == [(206, bytes(range(3, 10))), (200, bytes(range(100))), (404, b"")]
        answers = line.answers()
        assert line.answers() == []
    assert [(one.path, one.num_bytes) for one in answers] == [("/x", 7), ("/x", 100), ("/y", 0)]
    assert num_sequential(answers) == 3
    assert num_sequential([replace(one, begin_s=0.0) for one in answers]) == 1
