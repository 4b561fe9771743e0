"""Turn the values of utterances into what a store holds of them, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from featbank.errors import StoreError
from featbank.store.encoding import Array, Encoded, find_encoding, token_dtype
from featbank.store.given import DTypeLike, as_array, dtype_name
from featbank.store.narrowing import refuse_nonfinite


class RowEncoder:
    """Encodes rows of one store. Writes nothing: several processes may encode for one store."""

    def __init__(
        self,
        *,
        dtype: DTypeLike | None = None,
        shape: Sequence[int] | None = None,
        time_axis: int | None = 0,
        codebook_size: int | None = None,
        allow_nonfinite: bool = False,
        in_store: str = "",
    ) -> None:
        """Set what rows must be like.

        Args:
            dtype: that is stored; as of `StoreWriter`.
            shape: of one frame; as the first row has it when None.
            time_axis: 0 for (T, *shape), -1 for codes (Q, T), None for one value (*shape,).
            codebook_size: tokens are from 0 to one less.
            allow_nonfinite: take NaN and infinity, where the dtype has them, too.
            in_store: behind the utterance, in errors.

        Raises:
            StoreError: an option has a value that stores do not know.
        """
        if dtype is None:
            dtype = "float32" if codebook_size is None else token_dtype(codebook_size)
        self.dtype = dtype_name(dtype)
        self.encoding = find_encoding(self.dtype)
        if time_axis not in (0, -1, None):
            raise StoreError("time_axis of a store", expected="0, -1 or None", got=time_axis)
        if codebook_size is not None and self.encoding.read.kind not in "iu":
            raise StoreError(
                "dtype of a store of tokens", expected="an integer dtype", got=repr(dtype)
            )
        self.shape = None if shape is None else tuple(shape)
        self._time_axis = time_axis
        self._codebook_size = codebook_size
        self._is_plain = time_axis == 0 and codebook_size is None and self.encoding.is_plain
        self._checks_finite = self.encoding.rounds and not allow_nonfinite
        self.in_store = in_store

    def encode(self, key: str, value: Any) -> Encoded:
        """Return the values of an utterance as the store will hold them.

        Args:
            key: its id.
            value: (T, *shape), or (Q, T) where the time axis is the last: a NumPy array or a torch
                tensor on the CPU; T may be 0. The first one sets the shape where none was given.

        Raises:
            StoreError: another shape than the first utterance's, NaN or infinity, or values that
                the dtype or the codebook does not have.
        """
        if (
            self._is_plain
            and type(value) is np.ndarray
            and value.dtype == self.encoding.stored
            and value.shape[1:] == self.shape
            and value.flags.c_contiguous
        ):
            if self._checks_finite:
                refuse_nonfinite(value, self.encoding.name, f"utterance {key!r}{self.in_store}")
            return Encoded(value)  # nothing to convert: the usual case, ten million times
        where = f"utterance {key!r}{self.in_store}"
        array = as_array(value, where, has_time=self._time_axis is not None)
        if self._time_axis is None:
            array = array[None]  # stored as one frame
        elif self._time_axis == -1:
            array = np.moveaxis(array, -1, 0)
        if self._codebook_size is not None:
            self._check_tokens(array, where)
        shape = array.shape[1:]
        if self.shape is not None and shape != self.shape:
            values = "values" if self._time_axis is None else "frames"
            raise StoreError(where, expected=f"{values} of shape {self.shape}", got=shape)
        if self._checks_finite:
            refuse_nonfinite(array, self.encoding.name, where)
        encoded = self.encoding.encode(array, where)
        self.shape = shape
        return encoded

    def decode(self, encoded: Encoded) -> Array:
        """Return the values as a read gives them: (T, *shape), (Q, T) or (*shape,)."""
        values = self.encoding.decode(encoded.stored, encoded.scale)
        if self._time_axis is None:
            return values.reshape(values.shape[1:])
        return np.moveaxis(values, 0, -1) if self._time_axis == -1 else values

    def check_encoded(self, key: str, encoded: Encoded) -> None:
        """Refuse a row that was encoded for a store of other options.

        Raises:
            StoreError: it was.
        """
        stored, where = encoded.stored, f"utterance {key!r}{self.in_store}"
        shape = stored.shape[1:]
        scale = None if encoded.scale is None else encoded.scale.shape
        if stored.dtype != self.encoding.stored or scale != (
            shape if self.encoding.has_scale else None
        ):
            raise StoreError(
                where, expected=f"values as {self.encoding.name}", got=stored.dtype.name
            )
        if self.shape is not None and shape != self.shape:
            raise StoreError(where, expected=f"frames of shape {self.shape}", got=shape)
        self.shape = shape

    def _check_tokens(self, array: Array, where: str) -> None:
        size = self._codebook_size
        if size is None or not array.size or array.dtype.kind not in "iu":
            return
        lowest, highest = int(array.min()), int(array.max())
        if lowest < 0 or highest >= size:
            raise StoreError(
                where,
                expected=f"tokens from 0 to {size - 1}",
                got=lowest if lowest < 0 else highest,
            )
