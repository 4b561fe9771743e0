"""A picture of a part of a report, as a browser shows it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDTH, HEIGHT = 1180, 920
SECTION = "utterances"
MOST_BYTES = 150_000

_SCHEMES = {"light": "1", "dark": "0"}  # as Blink counts them
_DEADLINE_S = 120


def shoot_report(report: Path, out: Path, scheme: str) -> None:
    """Write a WebP of a report's head and of one of its sections, the others left out.

    Args:
        report: an HTML file.
        out: of the picture, a `.webp`.
        scheme: `light` or `dark`, which the page is told that the reader prefers.

    Raises:
        SystemExit: there is no browser, the report has no such section, or the picture is too large
            for a repository.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit(f"no browser on the PATH: install one of {', '.join(BROWSERS)}")
    page = report.read_text(encoding="utf-8")
    if f'<section id="{SECTION}"' not in page:
        raise SystemExit(f"{report}: no section {SECTION!r}")
    alone = f"<style>section[id]:not(#{SECTION}) {{display: none}}</style></head>"
    with tempfile.TemporaryDirectory() as folder:
        shown, made = Path(folder, "report.html"), Path(folder, "shot.webp")
        shown.write_text(page.replace("</head>", alone, 1), encoding="utf-8")
        command = [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={folder}/profile",
            f"--blink-settings=preferredColorScheme={_SCHEMES[scheme]}",
            f"--window-size={WIDTH},{HEIGHT}",
            f"--screenshot={made}",
            shown.as_uri(),
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=_DEADLINE_S)
        if made.stat().st_size > MOST_BYTES:
            raise SystemExit(f"{out}: {made.stat().st_size:,} bytes, at most {MOST_BYTES:,}")
        shutil.copyfile(made, out)
