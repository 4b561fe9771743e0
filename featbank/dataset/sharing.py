"""Which part of an order a rank reads itself, and which a framework shares out.

accelerate, Lightning and speechbrain put a sampler of their own around the one they are given, and
give each rank a part of what that one gives. A sampler that shares out by itself would then be
shared out twice, and most of the data never be seen. Who shares out can only be told from who asks:
a framework's sampler is among the callers when it iterates, or asks for a length.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import torch.distributed
from torch.utils.data import BatchSampler, DistributedSampler, Sampler

from featbank.errors import ConfigError

_COUNTS_OF_SHARERS = "num_replicas", "num_processes"
_PASS_ON = "torch.", "torchdata.", "accelerate."  # their other samplers share nothing out
_HINT = (
    "type rank= and num_ranks= of the sampler: 0 and 1 where something else shares its picks out"
)


@dataclass(frozen=True, slots=True)
class Share:
    """The picks rank, rank + num_ranks, and so on of an order."""

    rank: int
    num_ranks: int


WHOLE = Share(0, 1)


class SharesItself:
    """A sampler that gives each rank its own picks, unless another one shares them out."""


@dataclass(slots=True)
class Readers:
    """What is found among the callers of a sampler, who read it through one another."""

    shared_by: str = ""  # the sampler that shares out what is read
    is_permuted: bool = False  # it draws an order of its own
    unknown: str = ""  # a sampler that may share out
    in_batches: bool = False  # a torch BatchSampler cuts what is read into batches of one size
    dispatched: bool = False  # accelerate cuts batches joined from those of several ranks
    skipped: int = 0  # batches that accelerate leaves out
    loader_epoch: int | None = None  # of the loader of accelerate that leaves them out


def readers_of(sampler: object) -> Readers:
    """Look who reads a sampler right now.

    Classes are compared, and no attribute of anything else is trusted: a launcher has
    `num_processes`, too.
    """
    accelerate = sys.modules.get("accelerate.data_loader")
    torchdata = sys.modules.get("torchdata.stateful_dataloader.sampler")
    found = Readers()
    for caller in _callers():
        kind = type(caller)
        if caller is sampler:
            continue
        if torchdata is not None and issubclass(kind, torchdata._BatchSamplerIterator):
            found.in_batches = True
        if issubclass(kind, SharesItself):
            found.shared_by = found.shared_by or kind.__name__
        elif issubclass(kind, Sampler):
            _note_sampler(found, caller)
        if accelerate is None:
            continue
        if issubclass(kind, accelerate.SkipBatchSampler):
            found.skipped = caller.skip_batches  # type: ignore[attr-defined]
        elif issubclass(kind, accelerate.DataLoaderDispatcher):
            found.dispatched = caller.state.num_processes > 1  # type: ignore[attr-defined]
            found.shared_by = kind.__name__ if found.dispatched else found.shared_by
            found.loader_epoch = caller.iteration  # type: ignore[attr-defined]
        elif issubclass(kind, accelerate.DataLoaderShard):
            found.loader_epoch = caller.iteration  # type: ignore[attr-defined]
    return found


def is_loader_finished() -> bool:
    """Tell whether a loader of torchdata asks that has given all batches of an epoch.

    It then begins another one right away, where one that has not ended it yet gives no batch more.
    """
    loaders = sys.modules.get("torchdata.stateful_dataloader.stateful_dataloader")
    return loaders is not None and any(
        issubclass(type(caller), loaders._StatefulBaseDataLoaderIter) and caller._finished  # type: ignore[attr-defined]
        for caller in _callers()
    )


def _note_sampler(found: Readers, caller: object) -> None:
    kind = type(caller)
    # a DistributedSampler asks for lengths before it has counted its replicas
    counts = [
        getattr(caller, name, 2 if issubclass(kind, DistributedSampler) else None)
        for name in _COUNTS_OF_SHARERS
    ]
    known = [count for count in counts if isinstance(count, int)]
    if any(count > 1 for count in known):
        found.shared_by = kind.__name__
        found.is_permuted |= issubclass(kind, DistributedSampler)
    elif issubclass(kind, BatchSampler) and not known:
        found.in_batches = True
    if not known and not f"{kind.__module__}.".startswith(_PASS_ON):
        found.unknown = kind.__name__


def share_among_ranks(readers: Readers) -> Share:
    """Return the share of this process: of the whole where one of its readers shares it out.

    The ranks are those of the process group or, before there is one, of the launcher's environment.

    Raises:
        ConfigError: which rank this is, or who shares out, is not known.
    """
    share = _of_group() or _of_environment()
    if share.num_ranks == 1 or readers.shared_by:
        return WHOLE
    if readers.unknown:
        raise ConfigError(
            f"sampler that {readers.unknown} reads on one of {share.num_ranks} ranks",
            expected=f"a class that states {' or '.join(_COUNTS_OF_SHARERS)} if it shares out",
            got="neither",
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


def _callers() -> Iterator[object]:
    """Give the objects whose methods called, from the latest on."""
    frame = sys._getframe(1)
    seen: object = None
    while frame is not None:
        code = frame.f_code
        # `self`, however it is called; a generator expression within a method holds it, too
        name = code.co_varnames[0] if code.co_argcount else "self"
        if name in code.co_varnames[: code.co_argcount] or name in code.co_freevars:
            caller = frame.f_locals.get(name)
            if caller is not None and caller is not seen:
                seen = caller
                yield caller
        frame = frame.f_back  # type: ignore[assignment]
