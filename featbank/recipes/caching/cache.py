"""Cache of the features of whole splits, for `FeatureBrain` and the mixin of speechbrain."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from featbank.base.folder_names import check_name
from featbank.errors import ConfigError, FeatbankError, StoreError
from featbank.feature_io.base import FeatureStorageWriter
from featbank.feature_io.config import storage_configs
from featbank.feature_io.making import create_feature_storage_writers
from featbank.ranks import Meeting, Standing
from featbank.recipes.caching.batches import Batches
from featbank.recipes.caching.computing import Computed, compute_rows
from featbank.recipes.caching.journal import Journal
from featbank.recipes.caching.known import EarlierRows, JournaledRows, Known, LookedUp
from featbank.recipes.caching.ranks import collect_rows, deliver_rows, follow, lead
from featbank.recipes.caching.readers import SplitReaders
from featbank.recipes.caching.sharing import settle
from featbank.recipes.caching.work_folder import RecipeWork, work_path
from featbank.recipes.caching.writing import check_writers, describe, digest_of_writers, write_rows
from featbank.recipes.fingerprinting import RecipeFingerprint
from featbank.store import commit_together

_log = logging.getLogger(__name__)

DEBUG_NAME = ".featbank-debug"
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """Arguments of one call of `cache_features`.

    Args:
        split: that is computed; a name for what given writers write.
        batches: of it.
        compute: gives what `compute_features` returns for a batch.
        fingerprint: of the recipe, taken before its first forward.
        writers: by feature name, in place of those that the recipe declares.
        overwrite: compute everything anew.
        advance: told the utterances of each batch once they are kept.
        ranks: that make this call together.
    """

    split: str
    batches: Batches
    compute: Callable[[Any], Any]
    fingerprint: RecipeFingerprint
    writers: Mapping[str, FeatureStorageWriter] | None = None
    overwrite: bool = False
    advance: Callable[[int], object] = lambda _: None
    ranks: Meeting = field(default_factory=lambda: Meeting(Standing(), "features"))


class FeatureCache:
    """The stores of some features by split, at `<base_path>/<feature>/<split>`.

    That is the layout of the pipeline: `open_store(base_path / feature)` opens all splits as one.

    Attributes:
        configs: one entry a feature.
        base_path: folder of all stores.
        writers: at work: by split, then by feature name.
        readers: of what is published.
    """

    def __init__(
        self,
        feature_configs: Iterable[Any] | Mapping[str, Any],
        base_path: str | Path,
        fingerprint: Callable[[], RecipeFingerprint],
        *,
        allow_stale: bool = False,
        debug_batches: int | None = None,
    ) -> None:
        """Declare what is stored.

        Args:
            feature_configs: one `FeatureStorageConfig`, or mapping of its fields, a feature; as a
                list, or by name.
            base_path: folder of all stores.
            fingerprint: takes that of the recipe as it is now.
            allow_stale: read what has another fingerprint, with a warning.
            debug_batches: compute no more than these, into stores of their own, below
                `<base_path>/.featbank-debug`, which are read where there are no whole ones.

        Raises:
            ConfigError: no entry, or one that is not right.
        """
        self.configs = storage_configs(feature_configs)
        self.base_path = Path(base_path)
        self.writers: dict[str, Mapping[str, FeatureStorageWriter]] = {}
        self._debug_batches = debug_batches
        debug_path = self.base_path / DEBUG_NAME
        self._target = self.base_path if debug_batches is None else debug_path
        paths = [self.base_path] if debug_batches is None else [self.base_path, debug_path]
        self.readers = SplitReaders(self.configs, paths, fingerprint, allow_stale=allow_stale)

    def cache(self, extraction: Extraction) -> None:
        """Compute what is new of a split, and publish all features of it together.

        Rows that the published store has under the same fingerprint, id and input digest are taken
        over; so are those that runs which were stopped left in the work folder. Beside the store
        that was there, and the new one, the disk holds the rows that are new once more, in the
        journals of all ranks, until the new store is published; twice what a distributed sampler
        repeats.

        Of several ranks the first one publishes; the others wait until it has.

        Raises:
            FeatbankError: what was returned is not one dict an utterance, or cannot be stored, or
                there were no utterances, or another number of them; or another rank failed, is
                gone, or is about something else. Nothing is published; what was computed is kept in
                the work folder for the next call.
        """
        split, fingerprint = extraction.split, extraction.fingerprint
        ranks = extraction.ranks
        if ranks.size > 1 and extraction.writers is not None:
            raise ConfigError(
                "writers given to cache_features",
                expected="one process",
                got=f"{ranks.size} ranks",
                hint="declare them in feature_configs; or have one rank call it alone: "
                "featbank.ranks.alone, speechbrain's run_on_main",
            )
        ranks.agree("fingerprint", fingerprint.parts)
        extraction = replace(extraction, batches=settle(extraction.batches, ranks))
        if self._debug_batches is not None:
            extraction = _for_debug(extraction, self._debug_batches)
            self._target.mkdir(parents=True, exist_ok=True)
            (self._target / ".gitignore").write_text("*\n")
        batches = extraction.batches
        extraction = replace(
            extraction,
            batches=replace(batches, load=lambda take: _told(batches.load(take), ranks)),
        )
        if ranks.is_first:
            self._publish(extraction)
        else:
            self._help(extraction)
        ranks.share("published")
        self.readers.forget(split)
        if extraction.writers is None:
            self.readers.trust(self._target, split, fingerprint.digest)

    def _publish(self, extraction: Extraction) -> None:
        """Compute the share of this rank, have the others', and publish all of it."""
        split, fingerprint = extraction.split, extraction.fingerprint
        with ExitStack() as stack:
            writers = extraction.writers
            label = split
            if writers is None:
                check_name(split, "split")
                writers = self._writers_of(split)
            else:
                check_writers(writers)
                label = f"writers~{digest_of_writers(writers)}"
            for writer in writers.values():
                stack.callback(writer.abort)
            describe(writers, fingerprint)
            self.writers[split] = writers
            stack.callback(self.writers.pop, split)
            work = stack.enter_context(RecipeWork(self._target, label, fingerprint.digest))
            if extraction.overwrite:
                work.clear()
            earlier = EarlierRows({} if extraction.overwrite else writers, fingerprint.digest)
            stack.callback(earlier.close)
            journaled = JournaledRows(work.path)
            stack.callback(journaled.close)
            known: list[Known] = [earlier, journaled]
            if extraction.ranks.size > 1:  # which look twice: to deal, and to merge
                known = [LookedUp(known)]
            share = lead(extraction.ranks, extraction.batches, work.path, known)
            extraction.ranks.agree("known")
            computed = compute_rows(
                extraction.batches,
                extraction.compute,
                writers,
                known=known,
                journal=work.begin_journal(),
                advance=extraction.advance,
                share=share,
            )
            stack.callback(computed.close)
            collect_rows(extraction.ranks, computed, work.path, known)
            _check_total(split, len(computed.rows), extraction.batches.total)
            _say_what_is_never_known(split, computed, earlier)
            if computed.is_all_of(earlier) and earlier.is_as_written_by(writers):
                _log.info("features of split %r are as they were: nothing was computed", split)
            else:
                write_rows(writers, computed)
                commit_together(writers.values(), keep_others=True)
            work.finish()

    def _writers_of(self, split: str) -> dict[str, FeatureStorageWriter]:
        try:
            return create_feature_storage_writers(self.configs, self._target, suffix=f"/{split}")
        except OSError as error:
            if error.errno not in _NOT_WRITABLE:
                raise
            raise StoreError(
                f"folder of all stores {self._target}",
                expected="one that can be written",
                got=error,
                hint="to read a split that is published, call cache_features only where it is not "
                "in feature_readers",
            ) from error

    def _help(self, extraction: Extraction) -> None:
        """Compute the share of this rank, and leave it to the first one."""
        split, fingerprint = extraction.split, extraction.fingerprint
        folder = work_path(self._target, split, fingerprint.digest)
        share = follow(extraction.ranks, folder)
        with ExitStack() as stack:
            # that encode, and are never committed: the place of the stores is the first rank's
            scratch = Path(stack.enter_context(TemporaryDirectory(prefix="featbank-"))).resolve()
            writers = create_feature_storage_writers(self.configs, scratch, suffix=f"/{split}")
            for writer in writers.values():
                stack.callback(writer.abort)
            self.writers[split] = writers
            stack.callback(self.writers.pop, split)
            known: list[EarlierRows | JournaledRows] = []
            if share.own is None:  # nobody knows yet what is known of it
                paths = {
                    name: self._target / writer.storage_path.relative_to(scratch)
                    for name, writer in writers.items()
                }
                stores = {} if extraction.overwrite else writers
                known.append(EarlierRows(stores, fingerprint.digest, paths))
                known.append(JournaledRows(folder))
            for one in known:
                stack.callback(one.close)
            extraction.ranks.agree("known")  # before any rank computes: what is known never varies
            computed = compute_rows(
                extraction.batches,
                extraction.compute,
                writers,
                known=known,
                journal=Journal(folder, f"rank-{extraction.ranks.rank}"),
                advance=extraction.advance,
                share=share,
            )
            computed.close()
            deliver_rows(extraction.ranks, computed, folder)


def _told(batches: Iterable[Any], ranks: Meeting) -> Iterator[Any]:
    """Give batches as long as no other rank has failed."""
    for batch in batches:
        ranks.check()
        yield batch


def _for_debug(extraction: Extraction, num_batches: int) -> Extraction:
    _log.warning(
        "debug: features of %d batches of split %r, in a store of their own; a whole one stays",
        num_batches,
        extraction.split,
    )
    batches = extraction.batches
    return replace(
        extraction,
        batches=replace(
            batches,
            total=None,
            load=lambda take: islice(iter(batches.load(take)), num_batches),
        ),
    )


def _check_total(split: str, found: int, expected: int | None) -> None:
    # a generator that is used up, or drop_last, would lose utterances unseen
    if not found or found != (expected or found):
        raise FeatbankError(
            f"features of split {split!r}",
            expected=f"{expected or 'one or more'} utterances",
            got=found,
            hint="nothing was published; give all batches of the split, once",
        )


def _say_what_is_never_known(split: str, computed: Computed, earlier: EarlierRows) -> None:
    ids = [one for one, row in computed.rows.items() if row.input_digest]
    if len(ids) < len(computed.rows):
        _log.warning(
            "%d of %d utterances of split %r are computed at each call: their batches do not tell "
            "which utterances they hold, or hold no array of them, or what is no plain value; a "
            "digest of each, in the dataset or the batch, makes them known",
            len(computed.rows) - len(ids),
            len(computed.rows),
            split,
        )
    if computed.num_known or len(ids) < 2 or not all(one in earlier for one in ids):
        return
    _log.warning(
        "every utterance of split %r differs from the last call, and was computed anew: if its "
        "input is augmented at random, it is never known again; augment as you train",
        split,
    )
