"""Rank of this process in a launched run, and the key-value store that all ranks reach."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch.distributed

from featbank.errors import ConfigError

_alone: ContextVar[bool] = ContextVar("alone", default=False)


@dataclass(frozen=True, slots=True)
class Standing:
    """Rank of this process, the number of ranks, and their common key-value store.

    Args:
        rank: from 0 on.
        size: the number of ranks.
        store: a `torch.distributed.Store` that all of them reach; None where there is one rank.
    """

    rank: int = 0
    size: int = 1
    store: Any = None


@contextmanager
def alone() -> Iterator[None]:
    """Act as one process in a block, whatever was launched: the other ranks wait elsewhere.

    For what one rank alone is to do: `if rank == 0: with alone(): ...`.
    """
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


def standing() -> Standing:
    """Return the standing of this process: one of a process group, or alone.

    Alone too where speechbrain has one process act for all (`run_on_main`, `run_once_per_node`):
    the others sit in a barrier then, and would never answer.

    Raises:
        ConfigError: several ranks were launched, and there is no process group.
    """
    if _alone.get() or _acts_for_all():
        return Standing()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        size = torch.distributed.get_world_size()
        if size == 1:
            return Standing()
        # the store in which the ranks found each other; torch names no public way to it
        from torch.distributed.distributed_c10d import _get_default_store

        return Standing(torch.distributed.get_rank(), size, _get_default_store())
    launched = os.environ.get("WORLD_SIZE", "1")
    if launched not in ("", "1"):
        raise ConfigError(
            "ranks of this run",
            expected="a process group, in which they can meet",
            got=f"WORLD_SIZE={launched} and none",
            hint="call torch.distributed.init_process_group first; in a speechbrain recipe, "
            "speechbrain.utils.distributed.ddp_init_group(run_opts)",
        )
    return Standing()


def _acts_for_all() -> bool:
    """Tell whether this runs within speechbrain's `main_process_only` or `once_per_node`."""
    # only a recipe that has imported it can be there; to import it here would cost seconds
    distributed = sys.modules.get("speechbrain.utils.distributed")
    return any(getattr(distributed, name, 0) > 0 for name in ("MAIN_PROC_ONLY", "NODE_ONCE_ONLY"))
