"""An item of a dataset, with a clear error where torch would stack items of unlike lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.utils.data._utils.collate import collate, default_collate_fn_map

from featbank.errors import ConfigError


class Item(dict[str, Any]):
    """An utterance as a dict: `id`, tensors by the name of their store, texts by their field.

    A plain dict, but for a `DataLoader` without `collate_fn`: torch stacks what is of one length,
    and its error about the rest would not tell what to do.
    """


def _stack(batch: Sequence[Item], *, collate_fn_map: Any = None) -> dict[str, Any]:
    for name in batch[0]:
        shapes = sorted({tuple(getattr(one[name], "shape", ())) for one in batch})
        if len(shapes) > 1:
            raise ConfigError(
                f"{name!r} of a batch without collate_fn",
                expected="utterances of one length",
                got=" and ".join(map(str, shapes[:2])),
                hint="DataLoader(dataset, collate_fn=dataset.collate) pads them",
            )
    return {
        name: collate([one[name] for one in batch], collate_fn_map=collate_fn_map)
        for name in batch[0]
    }


default_collate_fn_map[Item] = _stack
