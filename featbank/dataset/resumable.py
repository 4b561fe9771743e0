"""Base of samplers whose order follows from seed and epoch, and that resume after a stop."""

from __future__ import annotations

import logging
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from operator import index
from typing import Any, Generic, TypeVar

from torch.utils.data import Sampler

from featbank.dataset.epochs import EpochCount, whole_number
from featbank.dataset.readers import Readers, SharesItself, is_read_ahead, readers_of
from featbank.dataset.sharing import WHOLE, Share, share_among_ranks
from featbank.errors import ConfigError
from featbank.files.provenance import digest

_log = logging.getLogger(__name__)

Pick = TypeVar("Pick")

_STATE = "epoch", "num_done", "num_ranks", "ids", "order"


class ResumableSampler(SharesItself, Sampler[Pick], ABC):
    """Sampler of one rank's picks, out of an order that all ranks share.

    The order of an epoch is a function of the seed, the epoch and the data, whatever the number of
    ranks and workers; rank r of R is given picks r, r + R, r + 2 R and so on, and at the end the
    ranks that would be short are given the first picks again, or with `drop_last` the last ones are
    dropped. Which rank this is, is looked up when an iteration begins, or `len` is asked for: typed
    by hand, else of the process group, else of the launcher's environment. Where a framework shares
    out what a sampler gives (accelerate, the Trainer of transformers, Lightning, speechbrain), each
    rank gives it the whole order.

    An iteration that gave all picks is followed by one of the next epoch, unless `set_epoch` says
    which one begins.
    """

    def __init__(
        self,
        *,
        shuffle: bool,
        seed: int,
        drop_last: bool,
        rank: int | None,
        num_ranks: int | None,
        ids: Iterable[str] | None = None,
    ) -> None:
        """Prepare to sample.

        Args:
            shuffle: draw the order anew each epoch.
            seed: of the drawing.
            drop_last: rather leave the last picks out than give some of them to two ranks.
            rank: of this process, where it is not the one of `torch.distributed`.
            num_ranks: that share the picks; 1 gives all of them to each rank.
            ids: of what is sampled, in its order; states are held against them.

        Raises:
            ConfigError: the numbers do not fit.
        """
        if (rank is None) != (num_ranks is None):
            raise ConfigError("rank and num_ranks", expected="both or neither", got="one of them")
        self._typed: Share | None = None
        if rank is not None and num_ranks is not None:
            if not 0 <= rank < num_ranks:
                raise ConfigError("rank", expected=f"0 to {num_ranks - 1}", got=rank)
            self._typed = Share(rank, num_ranks)
        self.shuffle = shuffle
        try:
            self.seed = index(seed)  # of NumPy's integers too, which would be another key
        except TypeError:
            raise ConfigError(
                "seed of a sampler", expected="a whole number", got=repr(seed)
            ) from None
        self.drop_last = drop_last
        self.epoch = 0
        self._ids = ids
        self._identity: dict[str, str] | None = None
        self._start = 0  # picks of all ranks that are done before an iteration of the epoch begins
        self._latest: _Iteration[Pick] | None = None  # of the epoch: the one that began last
        self._is_told = False  # the epoch of the next iteration, since the latest one began
        self._is_asked = False  # for another iteration, since then
        self._count = EpochCount()

    @abstractmethod
    def _order(self) -> Sequence[Pick]:
        """Return the picks of the epoch, of all ranks."""

    @abstractmethod
    def _num_picks(self) -> int:
        """Return how many there are in an epoch: as many in each, for frameworks ask only once."""

    @abstractmethod
    def _made_from(self) -> str:
        """Return a digest of what the order follows from, apart from seed, epoch and ids."""

    @property
    def rank(self) -> int:
        """This process among those that share the picks."""
        return self._share(readers_of(self)).rank

    @property
    def num_ranks(self) -> int:
        """Number of processes that share the picks."""
        return self._share(readers_of(self)).num_ranks

    @property
    def sampler(self) -> ResumableSampler[Pick]:
        """This sampler: of a batch sampler, frameworks tell the epoch only to its `sampler`."""
        return self

    def __len__(self) -> int:
        """Return how many picks this rank is given in a whole epoch, wherever this one is."""
        return self._num_left(0, self._share(readers_of(self)))

    @property
    def remaining(self) -> int:
        """Number of picks that this rank has not been given yet in the epoch."""
        return self._num_left(self._num_done(), self._share(readers_of(self)))

    def __iter__(self) -> Iterator[Pick]:
        """Give this rank's picks of an epoch, or what is left of it where a state was loaded.

        That is given again until an iteration got to its end: a look at the first batch takes
        nothing away.

        Raises:
            ConfigError: which rank this is, or who shares the picks out, is not known; or a
                framework shares out in a way that would lose some.
        """
        readers = readers_of(self)
        share = self._share(readers)
        self._check(readers)
        if not self._is_told and not self._count.is_loaded:
            self._follow(readers)
        self._is_asked = True
        is_permuted = share == WHOLE and readers.is_permuted
        return _Iteration(self, share, is_permuted=is_permuted, ahead=readers.ahead)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration.

        To go on in the one that a state was loaded of changes nothing. A loop that counts from a
        lower epoch than that goes on counting from there.

        Raises:
            ConfigError: no number, or a negative one.
        """
        has_ended = self._latest is not None and self._latest.has_ended
        epoch = self._count.told(
            whole_number("epoch", epoch),
            ahead=self.epoch + has_ended,
            has_begun=self._latest is not None,
        )
        if epoch != self.epoch:
            self.epoch, self._start, self._latest = epoch, 0, None
        self._is_told = True

    def state_dict(self, num_done: int | None = None) -> dict[str, Any]:
        """Return the state of this run, for `load_state_dict` of any rank of a later one.

        Args:
            num_done: picks that each rank is done with, counted from the start of the epoch or,
                where this run went on in it, from there. None for as many as were given; the
                workers of a `DataLoader` are given more, for they fetch ahead. Then count them
                yourself, or let torchdata's `StatefulDataLoader` do it.

        Raises:
            ConfigError: a rank has fewer picks than that; none is stated, and a loader fetches
                ahead; or a framework gives them in an order of its own, which no count tells.
        """
        latest = self._latest
        if latest is not None and latest.is_permuted:
            raise ConfigError(
                "state of a sampler whose picks another one shares out",
                expected="its picks in their order",
                got="an order of the framework's",
                hint="resume by the framework's own means, or let this sampler share out: "
                "Trainer(use_distributed_sampler=False)",
            )
        readers = readers_of(self)
        if num_done is None:
            share = self._share(readers) if latest is None else latest.share
            return self._state(share, **self._place(readers))
        share = self._share(readers)
        start = self._start if latest is None else latest.start
        most = self._num_left(start, share)
        if whole_number("num_done", num_done) > most:
            raise ConfigError(
                "num_done",
                expected=f"up to {most}, as many as there are in a rank's part of the epoch",
                got=num_done,
            )
        done = min(start + index(num_done) * share.num_ranks, self._num_picks())
        return self._state(share, epoch=self.epoch, num_done=done)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume where `state` was taken: the next iteration gives what was not done then.

        The number of ranks may be another.

        Raises:
            ConfigError: no state of a sampler, or one of other data, another order of them, another
                seed or other settings.
        """
        if not isinstance(state, Mapping) or {*state} != {*_STATE}:
            raise ConfigError(
                "state of a sampler",
                expected=", ".join(_STATE),
                got=", ".join(map(str, state)) if isinstance(state, Mapping) else repr(state),
                hint="load what its state_dict() returned",
            )
        for name, what in (
            ("ids", "data, in the same order,"),
            ("order", "data, seed and settings"),
        ):
            if not isinstance(state[name], str) or state[name] != self._identified()[name]:
                raise ConfigError(
                    "state of a sampler",
                    expected=f"the {what} that it is of",
                    got="others",
                    hint="make the sampler as it was made then, or begin an epoch anew",
                )
        epoch = whole_number("epoch of a sampler's state", state["epoch"])
        num_done = whole_number("num_done of a sampler's state", state["num_done"])
        if num_done > self._num_picks():
            raise ConfigError(
                "num_done of a sampler's state",
                expected=f"0 to {self._num_picks()}, as many as there are",
                got=num_done,
            )
        num_ranks = whole_number("num_ranks of a sampler's state", state["num_ranks"])
        readers = readers_of(self)
        if readers.repeated and num_ranks != (here := self._share(readers).num_ranks):
            # each would read some batches again to get there: of its new part
            raise ConfigError(
                "state of a loader that notes its place every few batches",
                expected=f"the {num_ranks} ranks that it was taken on",
                got=here,
                hint="StatefulDataLoader(snapshot_every_n_steps=1) notes it at each",
            )
        told = self._count.loaded(epoch, has_begun=self._latest is not None)
        if num_done == self._num_picks():
            # a loader of torchdata is told the epoch before it loads, and gives nothing of another
            if told is not None and told > epoch:
                epoch, num_done = told, 0
            elif readers.ends_epoch:
                epoch, num_done = epoch + 1, 0
        self.epoch, self._start, self._latest = epoch, num_done, None

    def _begin(self, iteration: _Iteration[Pick]) -> int:
        """Note that an iteration gives its first pick; return how many are done before."""
        if self._latest is not None and self._latest.has_ended:
            self.epoch += not self._is_told
            self._start = 0
        self._latest, self._is_told, self._is_asked = iteration, False, False
        return self._start

    def _share(self, readers: Readers) -> Share:
        return share_among_ranks(readers) if self._typed is None else self._typed

    def _check(self, readers: Readers) -> None:
        """Refuse what would lose picks; warn where a person said so."""
        if readers.shared_by and self._typed is not None and self._typed.num_ranks > 1:
            _log.warning(
                "%s splits what rank=%d, num_ranks=%d gives: each rank gets a part of a part",
                readers.shared_by,
                self._typed.rank,
                self._typed.num_ranks,
            )
        if readers.dispatched and not readers.in_batches:
            raise ConfigError(
                "batches of a sampler under accelerate",
                expected="dispatch_batches=False: each rank fetches its own",
                got="dispatch_batches=True, which loses utterances where batches differ in size",
            )
        if (
            readers.is_permuted
            and readers.goes_on
            and (readers.ends_epoch or readers.epoch not in (None, readers.permuted_for))
        ):
            raise ConfigError(
                f"loader that goes on in epoch {readers.epoch}",
                expected="this sampler alone, which can resume within an epoch",
                got=f"{readers.shared_by}, which is told its epoch too late",
                hint="Trainer(use_distributed_sampler=False) from the start; or go on from the end "
                "of an epoch",
            )
        if self._start and (readers.skipped or readers.is_permuted):
            raise ConfigError(
                "sampler that goes on where its state was taken",
                expected="to be iterated from there",
                got=f"{readers.skipped} more to skip"
                if readers.skipped
                else f"{readers.shared_by}, which takes places of a whole epoch",
                hint="transformers: ignore_data_skip=True; Lightning: use_distributed_sampler="
                "False; speechbrain goes on by itself: load no state",
            )

    def _follow(self, readers: Readers) -> None:
        """Count epochs as a framework does that does not tell them, or too late."""
        if readers.epoch is not None:
            self.set_epoch(readers.epoch)
        elif readers.skipped and self._latest is None:
            raise ConfigError(
                "sampler of a loader that goes on by skipping",
                expected="set_epoch(epoch), with the epoch that is resumed",
                got="no call of it",
                hint="call set_epoch before the loader is iterated",
            )

    def _place(self, readers: Readers) -> dict[str, int]:
        latest = self._latest
        if latest is None:
            return {"epoch": self.epoch, "num_done": self._num_done()}
        if latest.has_ended and (self._is_asked or readers.has_finished):
            return {"epoch": self.epoch + (not self._is_told), "num_done": 0}
        if not readers.in_stateful and is_read_ahead(latest.ahead, has_ended=latest.has_ended):
            raise ConfigError(
                "state of a sampler whose loader fetches ahead",
                expected="num_done=, the picks that each rank is done with",
                got="none",
                hint="count them, or take the state of torchdata's StatefulDataLoader, which does",
            )
        return {"epoch": self.epoch, "num_done": self._num_done()}

    def _num_done(self) -> int:
        done = self._start if self._latest is None else self._latest.num_done
        return min(done, self._num_picks())

    def _num_left(self, num_done: int, share: Share) -> int:
        left = max(0, self._num_picks() - num_done)
        return left // share.num_ranks if self.drop_last else -(-left // share.num_ranks)

    def _state(self, share: Share, *, epoch: int, num_done: int) -> dict[str, Any]:
        place = {"epoch": epoch, "num_done": num_done, "num_ranks": share.num_ranks}
        return {**place, **self._identified()}

    def _identified(self) -> dict[str, str]:
        if self._identity is None:
            ids = sha256()
            for one in self._ids or ():
                ids.update(f"{len(one)} {one}".encode())
            self._identity = {
                "ids": "" if self._ids is None else ids.hexdigest()[:16],
                "order": digest([self.seed, self.shuffle, self._made_from()])[:16],
            }
        return self._identity


class _Iteration(Iterator[Pick], Generic[Pick]):
    """One pass over a rank's picks; its epoch is the sampler's when the first one is taken."""

    def __init__(
        self,
        sampler: ResumableSampler[Pick],
        share: Share,
        *,
        is_permuted: bool,
        ahead: list[weakref.ref[Any]],
    ) -> None:
        self.is_permuted = is_permuted
        self.ahead = ahead
        self.has_ended = False
        self.start = 0  # picks of all ranks before the first
        self.num_done = 0  # and before the next
        self._sampler = sampler
        self.share = share
        self._order: Sequence[Pick] | None = None
        self._left = 0

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "ahead": []}  # loaders stay in their process

    def __next__(self) -> Pick:
        if self._order is None:
            self.start = self.num_done = self._sampler._begin(self)
            self._order = self._sampler._order()
            self._left = self._sampler._num_left(self.start, self.share)
            self.has_ended = not self._left and not self.is_permuted
        if not self._left:
            raise StopIteration
        pick = self._order[(self.num_done + self.share.rank) % len(self._order)]
        self.num_done += self.share.num_ranks
        self._left -= 1
        # a DistributedSampler lists all picks each time that it is asked; it is told the epoch
        self.has_ended = not self._left and not self.is_permuted
        return pick
