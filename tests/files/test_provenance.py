from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from featbank.files.provenance import canonical_json, digest, write_atomic


def test_equal_values_have_one_digest_whatever_their_order() -> None:
    assert digest({"a": 1, "b": [1.5, "é"]}) == digest({"b": [1.5, "é"], "a": 1})
    assert digest({"a": 1}) != digest({"a": 1.5})


def test_values_that_json_cannot_tell_apart_are_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))


def test_a_file_linked_to_the_old_bytes_keeps_them(tmp_path: Path) -> None:
    file, cached = tmp_path / "a.json", tmp_path / "cache"
    write_atomic(file, "old")
    os.link(file, cached)
    write_atomic(file, "new")
    assert (file.read_text(), cached.read_text()) == ("new", "old")


def test_a_killed_write_leaves_the_old_file_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    old, new = b"o" * 3_000_000, b"n" * 3_000_000
    code = (
        "import sys; from featbank.files.provenance import write_atomic\n"
        f"while True: [write_atomic({str(file)!r}, b * 3_000_000) for b in (b'o', b'n')]"
    )
    for delay in (0.2, 0.23, 0.27):
        write_atomic(file, old)
        child = subprocess.Popen([sys.executable, "-c", code])
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert file.read_bytes() in (old, new)
