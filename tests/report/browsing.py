"""Opening a page in a real browser."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.waiting import HANG_S


def browse(page: str, folder: Path, *options: str) -> str:
    """Open a page in a real browser and return its document after loading."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs the browser chromium (apt-get install chromium)")
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return subprocess.run(
        [
            chromium,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={folder / 'profile'}",
            *options,
            path.as_uri(),
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=HANG_S,
    ).stdout
