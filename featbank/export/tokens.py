"""Units and codes as one sequence of integers, as text formats and language models take them."""

from __future__ import annotations

from featbank.base.units import Units, deduplicate
from featbank.errors import ConfigError, StoreError
from featbank.export.base import refuse_field
from featbank.export.rows import ExportField, ExportRow
from featbank.export.source import ExportSource
from featbank.sequences.patterns import flatten


def check_tokens(source: ExportSource, format_name: str, *, codes: bool = True) -> None:
    """Refuse fields that are neither units (T,) nor, where they will do, codes (Q, T).

    Raises:
        ConfigError: one is something else, or the numbers of its codes cannot be told apart, for
            its store does not state the size of its codebook.
    """
    for field in source.fields:
        has_frames = field.header.time_axis is not None
        if not field.is_tokens or not has_frames or len(field.axes) != 1 + field.is_codes:
            refuse_field(field, format_name, expected="units (T,) or codes (Q, T)")
        if field.is_codes and not codes:
            refuse_field(
                field,
                format_name,
                expected="units (T,): one a frame",
                hint="espnet, nanogpt and megatron lay codes one after the other",
            )
        if field.is_codes:
            num_tokens(field, format_name)


def num_tokens(field: ExportField, format_name: str) -> int:
    """Return how many different tokens a field may have: K, or Q x K of codes laid out flat.

    Raises:
        ConfigError: its store does not state K.
    """
    if field.header.codebook_size is None:
        raise ConfigError(
            f"export of {field.name} to {format_name}",
            expected="a store that states its codebook_size",
            got="none in its header",
            hint="write it with codebook_size=K",
        )
    return field.header.codebook_size * (field.header.shape[0] if field.is_codes else 1)


def sequence_of(row: ExportRow, field: ExportField, *, deduplicated: bool = False) -> Units:
    """Return the tokens of an utterance, (N,).

    Codes (Q, T) are laid out frame by frame, code c of codebook q as q K + c. Of units, repeats are
    left out where that is asked for; of codes they stay, for no frame could be told from another.
    """
    values = row.read(field.name)
    if field.is_codes:
        return flatten(values, field.header.codebook_size)
    return deduplicate(values)[0] if deduplicated else values


def plain_key(utterance_id: str, format_name: str, what: str = "utterance") -> str:
    """Return an id that is one word, as a key of files whose fields stand between spaces.

    Raises:
        StoreError: it has a space.
    """
    if utterance_id.split() != [utterance_id]:
        raise StoreError(
            f"{what} {utterance_id!r}",
            expected=f"an id without spaces, as a key of {format_name}",
            got="a space in it",
            hint="name it otherwise in the corpus's table, or choose another format",
        )
    return utterance_id
