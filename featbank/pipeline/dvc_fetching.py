"""What DVC's remote has of an output, fetched into its cache."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

_log = logging.getLogger(__name__)


def fetch_output(out: Path) -> None:
    """Have DVC fetch what its cache lacks of an output, as `dvc.lock` names it.

    In a process of its own: what goes wrong is told in DVC's words, and ends no run, for what is
    not fetched is computed.
    """
    _log.info("%s: DVC fetches what it was", out)
    done = subprocess.run([sys.executable, "-m", "dvc", "fetch", str(out)], check=False)
    if done.returncode:
        _log.warning("%s: dvc fetch ended with %d", out, done.returncode)
