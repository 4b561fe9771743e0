"""Conversion of what `compute_features` returns to one dict an utterance, without padding."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from featbank.base.framing import Framing, frame_counts
from featbank.errors import FeatbankError

_WHERE = "what compute_features returned"
_WAY_OUT = (
    "a share of the padded batch, rounded, is a frame off where frames are no such share: declare "
    "the feature's framing (writer_kwargs: framing) and return the lengths of the waveforms as "
    "they are in the batch, (features, batch.sig.lengths) or (features, batch.sig); or return "
    "numbers of frames, such as featbank.base.framing.frame_counts(batch.sig, framing)"
)


def route(
    returned: Sequence[Mapping[str, Any]] | Mapping[str, Any],
    names: Collection[str],
    time_axes: Mapping[str, int | None] | None = None,
    *,
    framings: Mapping[str, Framing | None] | None = None,
    batch: Any = None,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the id and the features of each utterance of a batch.

    Args:
        returned: one dict an utterance: `id`, and for each name an array (T, ...), or a pair of an
            array that is padded at its end and its length. Or one dict for the batch: `id` with a
            list, and for each name such a pair with (B, T, ...) and B lengths, as speechbrain's
            `PaddedData` is. A length is a number of frames. A share of the longest, a float as
            speechbrain has them, is none, unless all are 1.0: an utterance would get a frame more
            or less with other batch mates. With the feature's framing the number is exact: give
            the pair of waveforms and shares, `batch.sig`, or its `lengths`, in the lengths' place.
        names: of all features.
        time_axes: of the arrays of an utterance, where it is not the first: -1 for codes (Q, T),
            None for one value (*shape) an utterance, of which a batch is (B, *shape), no pair.
        framings: of features, by name, where they are declared.
        batch: that was computed; the waveforms of shares that it holds are looked up in it.

    Yields:
        The id, and by name the valid frames: views where they can be.

    Raises:
        FeatbankError: a key is missing or unknown, or lengths do not fit.
    """
    timeless = {name for name, axis in (time_axes or {}).items() if axis is None}
    if isinstance(returned, Mapping):
        returned = _count_frames(returned, framings or {}, time_axes or {}, _padded_data(batch))
        each: Any = _split_batch(returned, names, timeless)
    else:
        each = returned
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
        _refuse_shares(lengths, where)
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
            hint="of one vector an utterance the config says writer_kwargs: {time_axis: null}",
        )
    return list(value)


def _refuse_shares(lengths: Sequence[Any], where: str) -> None:
    """Refuse shares of a padded length, unless nothing is padded."""
    shares = [one for one in lengths if isinstance(one, float)]
    if any(one != 1.0 for one in shares):
        raise FeatbankError(
            f"lengths of {where}",
            expected="numbers of frames",
            got=f"shares such as {min(shares):.4g}",
            hint=_WAY_OUT,
        )


def _padded_data(batch: Any) -> list[Any]:
    """Return the pairs (data, lengths) of a batch: speechbrain's `PaddedData`."""
    if isinstance(batch, Mapping):
        held: Any = batch.values()
    elif isinstance(batch, tuple | list):
        held = batch
    else:
        held = getattr(batch, "__dict__", {}).values()
    return [one for one in held if hasattr(one, "data") and hasattr(one, "lengths")]


def _count_frames(
    returned: Mapping[str, Any],
    framings: Mapping[str, Framing | None],
    time_axes: Mapping[str, int | None],
    padded_data: Sequence[Any],
) -> dict[str, Any]:
    """Replace shares by numbers of frames where the feature's framing and the waveforms are had."""
    found = dict(returned)
    for name, value in returned.items():
        framing = framings.get(name)
        if not _is_pair(value):
            continue
        padded, lengths = value
        where = f"{name!r} in {_WHERE}"
        if _is_pair(lengths):
            waveforms = lengths
        else:
            waveforms = next((one for one in padded_data if one.lengths is lengths), None)
        if framing is not None and waveforms is not None:
            num_frames = padded.shape[-1 if time_axes.get(name) == -1 else 1]
            _check_framing(framing, int(waveforms[0].shape[1]), num_frames, where)
            found[name] = (padded, frame_counts(waveforms, framing))
        elif waveforms is lengths:
            raise FeatbankError(
                f"lengths of {where}",
                expected="numbers of frames, for the feature has no framing",
                got="waveforms and their lengths",
                hint=_WAY_OUT,
            )
    return found


def _check_framing(framing: Framing, num_samples: int, num_frames: int, where: str) -> None:
    if framing.num_frames(num_samples) != num_frames:
        raise FeatbankError(
            where,
            expected=f"{framing.num_frames(num_samples)} frames of {num_samples} samples, as its "
            "framing says",
            got=num_frames,
            hint="speechbrain's STFT puts half a window before the waveform and behind it: left "
            "and right of the framing are that many samples",
        )


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
    _refuse_shares([length], where)
    num_frames = longest if isinstance(length, float) else length
    if isinstance(num_frames, bool) or not 0 <= num_frames <= longest:
        raise FeatbankError(f"length of {where}", expected=f"0 to {longest} frames", got=length)
    return _on_cpu(padded[..., :num_frames] if time_axis == -1 else padded[:num_frames])


def _without_time(where: str) -> FeatbankError:
    return FeatbankError(
        where, expected="one value an utterance, for it has no time axis", got="a pair with lengths"
    )


def _on_cpu(value: Any) -> Any:
    """Return a torch tensor detached and on the CPU, anything else as it is."""
    return value.detach().cpu() if hasattr(value, "detach") else value
