"""What a grown corpus rewrites of the stores that are there."""

from __future__ import annotations

from featbank.base.amounts import percent
from featbank.base.printing import size_text
from featbank.engine.tasks import Tally

_MANY = 10  # shards: fewer are soon written and sent
_MUCH = 0.1  # of the shards


def told_rewriting(tally: Tally, num_bytes: int | None = None) -> str | None:
    """Return a sentence where new utterances have much rewritten, and what to do; else None.

    Args:
        tally: of a run, or of what it will do. Utterances that are copied, and none computed, tell
            of something else than growth.
        num_bytes: of the shards written; None where nobody counted.
    """
    written, new = tally.num_shards_written, tally.num_computed
    share = written / max(1, written + tally.num_shards_kept)
    if not 0 < new < tally.num_copied or written < _MANY or share < _MUCH:
        return None
    sent = "" if num_bytes is None else f", {size_text(num_bytes)} to upload,"
    return (
        f"{written:,} of {written + tally.num_shards_kept:,} shards ({percent(share)}){sent} are "
        f"written anew for {new:,} new utterances, and {tally.num_copied:,} that are there are "
        "copied: they lie between each other; let what is new be a part of its own, by "
        "corpus.part_from (docs/growth.md)"
    )
