"""What a run is told that it cannot do."""

from __future__ import annotations

from pathlib import Path

import pytest

from featbank.errors import ConfigError
from tests.extracting import demo_run


@pytest.mark.parametrize("task_s", [0, -600, float("nan"), float("inf")])
def test_a_task_of_no_audio_or_of_all_is_refused(task_s: float, tmp_path: Path) -> None:
    assert demo_run(tmp_path, task_s=0.5).task_s == 0.5
    with pytest.raises(ConfigError, match=rf"task_s: expected more than 0 seconds, got {task_s}"):
        demo_run(tmp_path, task_s=task_s)
