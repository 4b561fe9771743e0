"""Detection of the loaders, and of frameworks' samplers, that iterate over a sampler.

accelerate, Lightning and speechbrain put a sampler of their own around the one they are given, and
give each rank a part of what that one gives. Some tell the epoch only when an order was drawn
already, some fetch batches ahead. All of that is told by who asks: they are among the callers.
Classes are compared, and no attribute of anything else is trusted: a launcher has `num_processes`,
too.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from inspect import CO_GENERATOR, unwrap
from types import CodeType, FrameType, ModuleType
from typing import Any

from torch.utils.data import BatchSampler, DistributedSampler, Sampler, get_worker_info
from torch.utils.data.dataloader import _BaseDataLoaderIter, _MultiProcessingDataLoaderIter

COUNTS_OF_SHARES = "num_replicas", "num_processes"
# their other samplers share nothing out
_PASS_ON = "builtins.", "torch.", "torchdata.", "accelerate.", "lightning.", "pytorch_lightning."
_MOST_HELD = 8  # within one another
_LOADED = "next_iter_state"  # as torchdata calls what it was given
_INNER = ".__iter__.<locals>"  # in the name of a generator that a method made
_FIT_LOOPS = "lightning.pytorch.loops.fit_loop", "pytorch_lightning.loops.fit_loop"


class SharesItself:
    """Base of samplers that give each rank its own picks, unless another one shares them out."""


@dataclass(slots=True)
class Readers:
    """Loaders and wrapping samplers that were found among the callers of a sampler."""

    shared_by: str = ""  # the sampler that shares out what it reads
    is_permuted: bool = False  # by a DistributedSampler, at places of an order of its own
    permuted_for: int | None = None  # the epoch of that order
    unknown: str = ""  # what may share out
    in_batches: bool = False  # torch cuts what is read into batches of one size
    dispatched: bool = False  # accelerate joins batches and cuts them for several ranks
    skips: bool = False  # accelerate goes on by skipping, perhaps of nothing
    skipped: int = 0  # picks that a loader reads only to leave them out, given before
    epoch: int | None = None  # that a framework is in, and tells too late or not at all
    ends_epoch: bool = False  # Lightning goes on behind the last batch of an epoch
    in_stateful: bool = False  # in a loader of torchdata, that asks for states itself
    has_finished: bool = False  # that loader was asked for more than the last batch of an epoch
    goes_on: bool = False  # that loader leaves out what it gave before
    repeated: int = 0  # batches behind the state that loader goes on from, read again to get there
    ahead: list[weakref.ref[Any]] = field(default_factory=list)  # loaders that fetch ahead


def readers_of(sampler: object) -> Readers:
    """Find the loaders and samplers that iterate over a sampler right now, among its callers."""
    found = Readers()
    for caller, frame in _callers():
        if caller is sampler:
            continue
        _note_of_torch(found, sampler, caller, frame)
        for note, name in _FRAMEWORKS:
            module = sys.modules.get(name)
            if module is not None:
                note(found, module, caller, frame)
    if get_worker_info() is not None and not found.ahead:
        # a worker that was spawned, not forked: who asks its loader is in another process
        found.unknown = found.unknown or "a worker"
    return found


def _note_of_torch(found: Readers, sampler: object, caller: object, frame: FrameType) -> None:
    kind = type(caller)
    if caller is None:
        found.unknown = found.unknown or frame.f_code.co_qualname.split(_INNER)[0]
    elif issubclass(kind, Sampler):
        _note_sampler(found, caller)
    elif issubclass(kind, _BaseDataLoaderIter):
        for one in _held_by(caller, sampler):
            _note_sampler(found, one)
        if issubclass(kind, _MultiProcessingDataLoaderIter):
            found.ahead.append(weakref.ref(caller))


def is_read_ahead(loaders: list[weakref.ref[Any]], *, has_ended: bool) -> bool:
    """Tell whether loaders have fetched picks that the training loop was not given yet.

    Args:
        loaders: that fetch ahead.
        has_ended: the sampler gave all that there is.
    """
    for loader in (one() for one in loaders):
        if loader is None:  # it was let go: at the end of an epoch, or before
            if not has_ended:
                return True
        elif isinstance(loader, _MultiProcessingDataLoaderIter) or hasattr(loader, "_rcvd_idx"):
            if loader._rcvd_idx < loader._send_idx:
                return True
        elif not loader.end_of_dataloader:  # accelerate fetches one more than it gives
            return True
    return False


def _note_sampler(found: Readers, caller: object) -> None:
    kind = type(caller)
    may_share = not f"{kind.__module__}.".startswith(_PASS_ON)
    if issubclass(kind, SharesItself):
        found.shared_by = found.shared_by or kind.__name__
        return
    if not issubclass(kind, Sampler):
        found.unknown = kind.__name__ if may_share else found.unknown
        return
    # a DistributedSampler asks for lengths before it has counted its replicas
    default = 2 if issubclass(kind, DistributedSampler) else None
    counts = [getattr(caller, name, default) for name in COUNTS_OF_SHARES]
    known = [count for count in counts if isinstance(count, int)]
    if any(count > 1 for count in known):
        found.shared_by = kind.__name__
        if issubclass(kind, DistributedSampler):
            found.is_permuted = True
            found.permuted_for = getattr(caller, "epoch", None)
    elif issubclass(kind, BatchSampler) and isinstance(getattr(caller, "batch_size", None), int):
        found.in_batches = True
    if not known and may_share:
        found.unknown = kind.__name__


def _held_by(loader: Any, sampler: object) -> Iterator[object]:
    """Give what a loader reads a sampler through, where that is no caller.

    One that returns a generator, or a slice of an iterator, has returned when it is read.
    """
    outer = getattr(loader, "_index_sampler", None)
    for _ in range(_MOST_HELD):
        if outer is None or outer is sampler:
            return
        yield outer
        inner = (getattr(outer, name, None) for name in ("batch_sampler", "sampler"))
        outer = next((one for one in inner if isinstance(one, Iterable)), None)


def _note_accelerate(found: Readers, module: ModuleType, caller: Any, _: FrameType) -> None:
    kind = type(caller)
    if issubclass(kind, module.SkipBatchSampler):
        found.skips, found.skipped = True, caller.skip_batches
    elif issubclass(kind, module.DataLoaderDispatcher):
        found.dispatched = module.PartialState().num_processes > 1
        found.shared_by = kind.__name__ if found.dispatched else found.shared_by
    if issubclass(kind, (module.DataLoaderShard, module.DataLoaderDispatcher)):
        found.ahead.append(weakref.ref(caller))
        if found.skips:  # such a loader does not hand on the epoch that it is told
            found.epoch = getattr(caller, "iteration", None)


def _note_part_of_iterable(found: Readers, module: ModuleType, caller: Any, _: FrameType) -> None:
    # not a sampler: it reads a dataset that reads one
    if issubclass(type(caller), module.IterableDatasetShard) and caller.num_processes > 1:
        found.shared_by = type(caller).__name__


def _note_torchdata(found: Readers, module: ModuleType, caller: Any, frame: FrameType) -> None:
    kind = type(caller)
    if issubclass(kind, module._StatefulBaseDataLoaderIter):
        found.in_stateful = True
        found.has_finished |= getattr(caller, "_finished", False)
        held = (getattr(caller, name, None) for name in ("_index_sampler", "_sampler_iter"))
        if not any(hasattr(one, "state_dict") for one in held):
            found.skipped = found.skipped or getattr(caller, "_sampler_iter_yielded", 0)
        if issubclass(kind, module._StatefulMultiProcessingDataLoaderIter):
            found.ahead.append(weakref.ref(caller))
            # its base class has an __init__ without
            if frame.f_code.co_name == "__init__" and (state := frame.f_locals.get(_LOADED)):
                found.repeated = state[kind._STEPS_SINCE_SNAPSHOT]


def _note_batches_of_torchdata(
    found: Readers, module: ModuleType, caller: Any, _: FrameType
) -> None:
    if issubclass(type(caller), module._BatchSamplerIterator):
        found.in_batches = True
        found.goes_on |= getattr(caller, "samples_yielded", 0) > 0


def _note_lightning(found: Readers, module: ModuleType, caller: Any, _: FrameType) -> None:
    if issubclass(type(caller), module._FitLoop):
        found.epoch = caller.epoch_progress.current.processed
        found.ends_epoch = caller.restarting and caller.epoch_loop.batch_progress.is_last_batch


def _note_loader_of_speechbrain(
    found: Readers, module: ModuleType, caller: Any, _: FrameType
) -> None:
    if issubclass(type(caller), module.SaveableDataLoader):
        found.skipped = caller._speechbrain_recovery_skip_to or 0


def _note_speechbrain(found: Readers, module: ModuleType, caller: Any, frame: FrameType) -> None:
    if issubclass(type(caller), module.Brain) and frame.f_code.co_name == "_fit_train":
        found.epoch = frame.f_locals.get("epoch")


_FRAMEWORKS = (
    (_note_accelerate, "accelerate.data_loader"),
    (_note_part_of_iterable, "accelerate.data_loader"),
    (_note_part_of_iterable, "transformers.trainer_pt_utils"),
    (_note_torchdata, "torchdata.stateful_dataloader.stateful_dataloader"),
    (_note_batches_of_torchdata, "torchdata.stateful_dataloader.sampler"),
    *((_note_lightning, name) for name in _FIT_LOOPS),
    (_note_loader_of_speechbrain, "speechbrain.dataio.dataloader"),
    (_note_speechbrain, "speechbrain.core"),
)


def _callers() -> Iterator[tuple[object, FrameType]]:
    """Give the objects whose methods called, with the calls, from the latest on.

    None is one that is not to be found: a generator outlives the method that made it.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if (name := _first_name(code)) is not None:
            caller = frame.f_locals.get(name)
            is_named = name == "self" or _is_method(code, type(caller))
        if name is not None and caller is not None and is_named:
            yield caller, frame
        elif (
            code.co_flags & CO_GENERATOR
            and _INNER in code.co_qualname
            and not f"{frame.f_globals.get('__name__')}.".startswith(_PASS_ON)
        ):
            yield None, frame
        frame = frame.f_back


def _first_name(code: CodeType) -> str | None:
    """Return what a method calls its object, None where code is of no method.

    What is defined within a method may hold `self`, too. A function is not looked into: before
    Python 3.13 that would keep all that it had alive until it returns, or is looked into again.
    """
    if "self" in code.co_freevars:
        return "self"
    if not code.co_argcount:
        return None
    name = code.co_varnames[0]
    is_in_class = "." in code.co_qualname.rpartition(".<locals>.")[2]
    return name if name == "self" or is_in_class else None


def _is_method(code: CodeType, kind: type) -> bool:
    """Tell whether code is a method's, and no function's that is handed such an object."""
    methods = (vars(one).get(code.co_name) for one in kind.__mro__)
    return any(getattr(unwrap(one), "__code__", None) is code for one in methods if callable(one))
