"""Every dtype of stores: how values are stored as it, what that changes, and the way back.

`ENCODINGS`, at the end, is the one list of them: what else asks for a dtype asks there.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import h5py
import ml_dtypes
import numpy as np
from xxhash import xxh3_64_intdigest

from featbank.errors import StoreError
from featbank.store.narrowing import (
    RoundingErrors,
    narrow_integers,
    other_kind,
    refuse_nonfinite,
    refuse_overflow,
)

Array = np.ndarray[Any, np.dtype[Any]]

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

SCALES_DTYPE = np.dtype("<f4")
ERRORS_DTYPE = np.dtype("<f8")


class Encoded(NamedTuple):
    """The values of one utterance as a store holds them.

    Args:
        stored: (T, *shape), C-contiguous, of the encoding's `stored` dtype.
        scale: (*shape,) float32 where the encoding has one.
        max_abs_error: of a value, on the way to the store and back.
        sum_abs_error: over all values.
    """

    stored: Array
    scale: Array | None = None
    max_abs_error: float = 0.0
    sum_abs_error: float = 0.0

    @property
    def checksum(self) -> int:
        """XXH3-64 of the stored bytes."""
        return checksum(self.stored)


class Encoding:
    """A dtype as NumPy has it: stored and read as it is. Floats may be narrowed.

    Args:
        name: of the dtype, as a header states it.
    """

    version = 1
    """Bumped when the same values are stored as others: fingerprints count it."""

    has_scale = False

    def __init__(self, name: str) -> None:
        self.name = name
        # by its text, for `newbyteorder` gives a dtype that memoryview takes for a foreign order
        self.stored = np.dtype(np.dtype(name).newbyteorder("<").str)
        self.read = self.stored

    @property
    def rounds(self) -> bool:
        """Whether values may differ from those written: floats do, integers never."""
        return self.read.kind == "f"

    @property
    def is_plain(self) -> bool:
        """Whether what is stored is what is read, so that plain HDF5 tells it."""
        return self.read == self.stored and not self.has_scale

    @property
    def hdf5_type(self) -> Any:
        """Of the dataset of values, as h5py's low level has it."""
        return h5py.h5t.py_create(self.stored, logical=True)

    def encode(self, array: Array, where: str) -> Encoded:
        """Convert the values of an utterance for the store.

        Args:
            array: (T, ...).
            where: what it belongs to, for errors.

        Raises:
            StoreError: it is of another kind, or out of range.
        """
        errors = RoundingErrors()
        stored = self.narrow(array, where, errors)
        return Encoded(stored, None, errors.greatest, errors.total)

    def narrow(
        self,
        array: Array,
        where: str,
        errors: RoundingErrors,
        scale: Array | None = None,  # noqa: ARG002
    ) -> Array:
        """Convert some frames: integers keep their value, finite numbers stay finite.

        Args:
            array: (n, ...).
            where: what it belongs to, for errors.
            errors: what this changes is added to it.
            scale: of the row, where the encoding has one.

        Raises:
            StoreError: it is of another kind, or out of range.
        """
        if array.dtype == self.stored:
            return array if array.flags.c_contiguous else np.ascontiguousarray(array)
        if np.can_cast(array.dtype, self.stored, "safe"):
            return np.ascontiguousarray(array, dtype=self.stored)
        if array.dtype.kind in "iu" and self.stored.kind in "iu":
            return narrow_integers(array, self.stored, where)
        if array.dtype.kind == "f" and self.stored.kind == "f":
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                stored = np.ascontiguousarray(array, dtype=self.stored)
            refuse_overflow(array, stored, self.name, where)
            errors.add(array, stored)
            return stored
        raise other_kind(array, self.name, where)

    def decode(self, stored: Array, scale: Array | None = None) -> Array:  # noqa: ARG002
        """Return values as a read gives them, (T, *shape); a view where nothing is converted."""
        return stored


class Bfloat16(Encoding):
    """The upper half of a float32, rounded to nearest, ties to even; read as float32.

    It is stored as 16-bit integers, for a file and a checksum take no dtype that NumPy has not.
    In HDF5 it is a two-byte float: sign bit 15, exponent bits 7 to 14 with bias 127, mantissa bits
    0 to 6. Plain h5py reads it as float32.
    """

    def __init__(self) -> None:
        self.name = "bfloat16"
        self.stored = np.dtype("<u2")
        self.read = np.dtype("<f4")

    @property
    def hdf5_type(self) -> Any:
        """The two-byte float."""
        kind = h5py.h5t.IEEE_F32LE.copy()
        kind.set_fields(15, 7, 8, 0, 7)
        kind.set_size(2)
        kind.set_ebias(127)
        return kind

    def narrow(
        self,
        array: Array,
        where: str,
        errors: RoundingErrors,
        scale: Array | None = None,  # noqa: ARG002
    ) -> Array:
        """Round float values to bfloat16; see `Encoding.narrow`."""
        if array.dtype.kind != "f":
            raise other_kind(array, self.name, where)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            # float64 by way of float32, which is what torch does
            stored = np.ascontiguousarray(array, dtype=self.read).astype(BFLOAT16).view(self.stored)
        back = self.decode(stored)
        refuse_overflow(array, back, self.name, where)
        errors.add(array, back)
        return stored

    def decode(self, stored: Array, scale: Array | None = None) -> Array:  # noqa: ARG002
        """Widen to float32, exactly."""
        wide: Array = stored.view(BFLOAT16).astype(self.read)
        return wide


class ScaledInt8(Encoding):
    """Floats as 8-bit integers with one scale an utterance and dimension; read as float32.

    Symmetric linear quantization: scale = max |x| / 127 over the utterance's frames, and
    x ~ scale * round(x / scale), off by half a scale at most. The scale is the utterance's own, so
    that its bytes do not depend on others.
    """

    has_scale = True

    def __init__(self) -> None:
        self.name = "int8_scaled"
        self.stored = np.dtype("<i1")
        self.read = np.dtype("<f4")

    def encode(self, array: Array, where: str) -> Encoded:
        """Quantize float values, which must be finite; see `Encoding.encode`."""
        scale = self.scale(self.peak(array, where), where)
        errors = RoundingErrors()
        stored = self.narrow(array, where, errors, scale)
        return Encoded(stored, scale, errors.greatest, errors.total)

    def peak(self, array: Array, where: str) -> Array:
        """Return the greatest magnitude of each dimension of some frames (n, *shape).

        Raises:
            StoreError: they are no floats, or not finite.
        """
        if array.dtype.kind != "f":
            raise other_kind(array, self.name, where)
        refuse_nonfinite(array, self.name, where)
        peak: Array = np.abs(array).max(axis=0, initial=0)
        return peak

    def scale(self, peak: Array, where: str) -> Array:
        """Return the scale of an utterance, (*shape,) float32, by the peak of all its frames.

        Raises:
            StoreError: it is out of range.
        """
        refuse_overflow(peak, peak.astype(SCALES_DTYPE), self.name, where)
        # a scale that rounds to zero would lose the sign of nothing but zeros
        return (peak.astype(np.float64) / 127).astype(SCALES_DTYPE)

    def narrow(
        self, array: Array, where: str, errors: RoundingErrors, scale: Array | None = None
    ) -> Array:
        """Quantize some frames by the scale of their utterance; see `Encoding.narrow`."""
        assert scale is not None
        steps = np.divide(array, scale, out=np.zeros(array.shape), where=scale > 0)
        stored = np.clip(np.rint(steps), -127, 127).astype(self.stored)
        with np.errstate(over="ignore"):
            back = self.decode(stored, scale)
        refuse_overflow(array, back, self.name, where)
        errors.add(array, back)
        return stored

    def decode(self, stored: Array, scale: Array | None = None) -> Array:
        """Multiply by the scale."""
        assert scale is not None
        return stored * scale


ENCODINGS: dict[str, Encoding] = {
    encoding.name: encoding
    for encoding in (
        Encoding("float32"),
        Encoding("float16"),
        Bfloat16(),
        ScaledInt8(),
        Encoding("float64"),
        Encoding("uint8"),
        Encoding("int8"),
        Encoding("uint16"),
        Encoding("int16"),
        Encoding("int32"),
        Encoding("int64"),
        Encoding("uint32"),  # torch computes little with these two
        Encoding("uint64"),
    )
}
"""The dtypes of stores by their names, what is chosen most often first."""


def find_encoding(name: str) -> Encoding:
    """Return the encoding of a dtype's name.

    Raises:
        StoreError: stores do not hold that dtype.
    """
    if name not in ENCODINGS:
        raise StoreError(
            "dtype of a store", expected=f"one of {', '.join(sorted(ENCODINGS))}", got=repr(name)
        )
    return ENCODINGS[name]


def frame_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    """Return the bytes of one frame as a store holds it.

    >>> frame_bytes("bfloat16", (80,))
    160
    """
    return find_encoding(dtype).stored.itemsize * prod(shape)


def dtypes_for(codebook_size: int | None) -> list[str]:
    """Return the dtypes that a computed feature may be stored as.

    Args:
        codebook_size: of codes; None for floats, which are float32 as they are computed.

    >>> dtypes_for(None), dtypes_for(1024)[:2]
    (['float32', 'float16', 'bfloat16', 'int8_scaled'], ['uint16', 'int16'])
    """
    if codebook_size is None:
        floats = [one for one in ENCODINGS.values() if one.rounds]
        return [one.name for one in floats if one.read.itemsize <= np.float32().itemsize]
    integers = [one for one in ENCODINGS.values() if not one.rounds]
    return [one.name for one in integers if np.iinfo(one.read).max >= codebook_size - 1]


def token_dtype(codebook_size: int) -> str:
    """Return the smallest unsigned integer dtype that holds the tokens of a codebook.

    >>> token_dtype(256), token_dtype(257)
    ('uint8', 'uint16')
    """
    if codebook_size < 1:
        raise StoreError("codebook_size", expected="1 or more", got=codebook_size)
    return np.min_scalar_type(codebook_size - 1).name


def checksum(stored: Array) -> int:
    """Return the XXH3-64 of an array's bytes; it is C-contiguous."""
    return xxh3_64_intdigest(stored.data)
