"""From what `compute_features` returned to one dict an utterance, without a padded frame."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from featbank.errors import FeatbankError

_WHERE = "what compute_features returned"


def route(
    returned: Sequence[Mapping[str, Any]] | Mapping[str, Any],
    names: Collection[str],
    time_axes: Mapping[str, int | None] | None = None,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the id and the features of each utterance of a batch.

    Args:
        returned: one dict an utterance: `id`, and for each name an array (T, ...), or a pair of an
            array that is padded at its end and its length. Or one dict for the batch: `id` with a
            list, and for each name such a pair with (B, T, ...) and B lengths, as speechbrain's
            `PaddedData` is. A length is a number of frames, or, as a float, a share of T, which
            is rounded as speechbrain rounds it: a frame off where the frames of an utterance are
            not that share of the longest's. Give numbers where you know them.
        names: of all features.
        time_axes: of the arrays of an utterance, where it is not the first: -1 for codes (Q, T),
            None for one value (*shape) an utterance, of which a batch is (B, *shape), no pair.

    Yields:
        The id, and by name the valid frames: views where they can be.

    Raises:
        FeatbankError: a key is missing or unknown, or lengths do not fit.
    """
    timeless = {name for name, axis in (time_axes or {}).items() if axis is None}
    each = _split_batch(returned, names, timeless) if isinstance(returned, Mapping) else returned
    for features in each:
        if not isinstance(features, Mapping) or not isinstance(features.get("id"), str):
            raise FeatbankError(
                _WHERE,
                expected="one dict an utterance, its id under 'id'",
                got=f"keys {', '.join(map(repr, features))}"
                if isinstance(features, Mapping)
                else type(features).__name__,
            )
        _check_names(features, names, f"features of utterance {features['id']!r}")
        where = f"features of utterance {features['id']!r}"
        yield (
            features["id"],
            {
                name: _valid(features[name], f"{name!r} in {where}", (time_axes or {}).get(name, 0))
                for name in names
            },
        )


def _split_batch(
    returned: Mapping[str, Any], names: Collection[str], timeless: Collection[str]
) -> Iterator[dict[str, Any]]:
    _check_names(returned, names, _WHERE)
    ids = returned["id"]
    if isinstance(ids, str) or not isinstance(ids, Sequence):
        raise FeatbankError(
            f"id in {_WHERE}", expected="a list of one id an utterance", got=type(ids).__name__
        )
    columns = {
        name: _rows(
            returned[name], len(ids), f"{name!r} in {_WHERE}", has_time=name not in timeless
        )
        for name in names
    }
    for number, utterance_id in enumerate(ids):
        yield {"id": utterance_id, **{name: rows[number] for name, rows in columns.items()}}


def _rows(value: Any, num_utterances: int, where: str, *, has_time: bool) -> list[Any]:
    """Return one array, or pair, an utterance."""
    if _is_pair(value) and not has_time:
        raise _without_time(where)
    if _is_pair(value):
        padded, lengths = value
        lengths = lengths.tolist() if hasattr(lengths, "tolist") else list(lengths)
        if len(padded) != num_utterances or len(lengths) != num_utterances:
            raise FeatbankError(
                where,
                expected=f"{num_utterances} rows and lengths",
                got=f"{len(padded)} and {len(lengths)}",
            )
        return list(zip(padded, lengths, strict=True))
    if len(value) != num_utterances:
        raise FeatbankError(where, expected=f"{num_utterances} rows", got=len(value))
    if hasattr(value, "shape") and num_utterances > 1 and has_time:
        raise FeatbankError(
            where,
            expected="a pair (padded, lengths), so that no padded frame is stored",
            got=f"a tensor {tuple(value.shape)} without lengths",
        )
    return list(value)


def _check_names(features: Mapping[str, Any], names: Collection[str], where: str) -> None:
    if set(features) != {"id", *names}:
        raise FeatbankError(
            where,
            expected=f"id and {', '.join(sorted(names))}",
            got=", ".join(sorted(map(str, features))) or "nothing",
        )


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2


def _valid(value: Any, where: str, time_axis: int | None) -> Any:
    if _is_pair(value) and time_axis is None:
        raise _without_time(where)
    if not _is_pair(value):
        return _on_cpu(value)
    padded, length = value
    length = length.item() if hasattr(length, "item") else length
    longest = padded.shape[time_axis] if hasattr(padded, "shape") else len(padded)
    # a share of the longest, rounded as speechbrain rounds it
    num_frames = round(length * longest) if isinstance(length, float) else length
    if isinstance(num_frames, bool) or not 0 <= num_frames <= longest:
        raise FeatbankError(
            f"length of {where}",
            expected=f"0 to {longest} frames, or a share of them up to 1.0",
            got=length,
        )
    return _on_cpu(padded[..., :num_frames] if time_axis == -1 else padded[:num_frames])


def _without_time(where: str) -> FeatbankError:
    return FeatbankError(
        where, expected="one value an utterance, for it has no time axis", got="a pair with lengths"
    )


def _on_cpu(value: Any) -> Any:
    """Return a torch tensor detached and on the CPU, anything else as it is."""
    return value.detach().cpu() if hasattr(value, "detach") else value
