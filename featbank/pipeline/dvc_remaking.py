"""Making the workspace anew without whom is forgotten: `dvc repro`, and codebooks that stay.

A codebook is kept by having DVC take it as it is for the smaller sample: its values do not change,
nor do the tokens of anybody else. Fitted anew, all tokens change.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from featbank.errors import ConfigError, FeatbankError
from featbank.pipeline.dvc_outputs import dvc_project

_log = logging.getLogger(__name__)

_STDERR = 2
_TOLD = 5
_ALWAYS = ["always changed"]


def refuse_stale() -> None:
    """Refuse a workspace that is not as `dvc.lock` has it: too much would be made anew.

    Raises:
        ConfigError: stages are to run, or outputs are not here.
    """
    # imported here: it takes a second
    from dvc.exceptions import DvcException

    try:
        with dvc_project() as repo:
            # the stage that DVC always runs says nothing of what it would find
            stale = sorted(name for name, why in repo.status().items() if why != _ALWAYS)
    except DvcException as error:
        raise ConfigError("dvc.yaml", expected="a pipeline that DVC reads", got=error) from error
    if stale:
        more = ", ..." if len(stale) > _TOLD else ""
        raise ConfigError(
            "workspace",
            expected="all as dvc.lock has it, before somebody is taken out of it",
            got=f"{len(stale)} stages that are not: {', '.join(stale[:_TOLD])}{more}",
            hint="type dvc pull, and dvc repro; then the same again",
        )


def remake(codebooks: Sequence[str], *, refit: bool) -> None:
    """Have DVC make the workspace anew.

    Args:
        codebooks: outputs that were fitted on whom is forgotten.
        refit: fit them anew; otherwise they stay as they are.

    Raises:
        FeatbankError: DVC ends in a failure, which it tells.
    """
    if codebooks and not refit:
        fits, before = _stages(codebooks)
        _dvc("repro", *before)
        _dvc("commit", "--force", *fits)
    _dvc("repro")


def _stages(outputs: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the stages of some outputs, and those whose outputs these need."""
    with dvc_project() as repo:
        stages = [out.stage for path in outputs for out in repo.find_outs_by_path(path)]
        graph: Any = repo.index.graph
        before = {one.addressing for stage in stages for one in graph.successors(stage)}
        return sorted({stage.addressing for stage in stages}), sorted(before)


def _dvc(*arguments: str) -> None:
    """Run DVC in a process of its own; it tells on the stream of errors what it does."""
    _log.info("dvc %s", " ".join(arguments))
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], check=False, stdout=_STDERR)
    if done.returncode:
        raise FeatbankError(
            f"dvc {' '.join(arguments)}",
            expected="an end without a failure",
            got=f"exit status {done.returncode}",
            hint="nothing is deleted yet; mend what it says, and type the same again: it goes on",
        )
