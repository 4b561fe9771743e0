"""The share of this rank in an order of picks that all ranks share."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch.distributed

from featbank.dataset.readers import COUNTS_OF_SHARES, Readers
from featbank.errors import ConfigError

_HINT = (
    "type rank= and num_ranks= of the sampler: 0 and 1 where something else shares its picks out"
)


@dataclass(frozen=True, slots=True)
class Share:
    """The picks rank, rank + num_ranks, and so on of an order."""

    rank: int
    num_ranks: int


WHOLE = Share(0, 1)


def share_among_ranks(readers: Readers) -> Share:
    """Return the share of this process: the whole order where one of its readers shares it out.

    The ranks are those of the process group or, before there is one, of the launcher's environment.

    Raises:
        ConfigError: which rank this is, or who shares out, is not known.
    """
    if readers.shared_by:
        return WHOLE
    share = _of_group() or _of_environment()
    if share.num_ranks > 1 and readers.unknown:
        raise ConfigError(
            f"sampler that {readers.unknown} reads on one of {share.num_ranks} ranks",
            expected=f"one with an attribute {' or '.join(COUNTS_OF_SHARES)} if it splits picks "
            "among ranks",
            got="neither attribute",
            hint=_HINT,
        )
    return share


def _of_group() -> Share | None:
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return None
    return Share(torch.distributed.get_rank(), torch.distributed.get_world_size())


def _of_environment() -> Share:
    stated = {name: os.environ.get(name) for name in ("RANK", "WORLD_SIZE")}
    try:
        num_ranks = int(stated["WORLD_SIZE"] or 1)
        rank = int(stated["RANK"] or (0 if num_ranks == 1 else -1))
    except ValueError:
        rank = num_ranks = -1
    if not 0 <= rank < num_ranks:
        raise ConfigError(
            "rank of a sampler",
            expected="a process group, or RANK and WORLD_SIZE in the environment",
            got=", ".join(f"{name}={value}" for name, value in stated.items()),
            hint=_HINT,
        )
    return Share(rank, num_ranks)
