"""Run a program, and kill its process as it trains: `python killed.py STEP PROGRAM ARGUMENTS`.

Rank 1, or the only one, ends by SIGKILL right behind the step of its optimizer with that number.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from itertools import count
from pathlib import Path

from torch.optim.optimizer import register_optimizer_step_post_hook


def main() -> None:
    last_step, program = int(sys.argv[1]), sys.argv[2]
    numbers = count(1)

    def kill_behind(*_: object) -> None:
        if next(numbers) == last_step and os.environ.get("RANK", "1") == "1":
            os.kill(os.getpid(), signal.SIGKILL)

    register_optimizer_step_post_hook(kill_behind)
    sys.argv = sys.argv[2:]
    sys.path[0] = str(Path(program).parent)
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main()
