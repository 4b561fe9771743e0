"""Reading of centroids from files of other tools, without running code from them."""

from __future__ import annotations

import os
import pickle
import re
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from featbank.errors import LIBRARY_ERRORS, CodebookError, ConfigError
from featbank.files.opening import instead_of_file, open_regular

_FAISS_L2 = (b"IxF2", b"IxFl")  # what files of faiss.IndexFlatL2 begin with
_FAISS_OTHERS = (b"Ix", b"Iv", b"Iw", b"IH", b"Im")
_FAISS_HEADER = struct.Struct("<4xiq16x?iQ")
"""Of an IndexFlatL2: dimension, number, two that are not read, whether trained, metric, values."""

_NUMPY = b"\x93NUMPY"
_PICKLE = b"\x80"
_COMPRESSED = (b"\x78", b"\x1f\x8b", b"BZ", b"\x5d\x00\x00\x80", b"\xfd7z", b"\x04\x22M\x18")


def read_centroids(path: Path) -> tuple[npt.NDArray[np.float32], str]:
    """Read the centroids of a k-means that was fitted elsewhere.

    Args:
        path: of an array (`numpy.save`), a `KMeans` or `MiniBatchKMeans` of scikit-learn
            (`joblib.dump` without compression, or `pickle.dump`), or a `faiss.IndexFlatL2`, such
            as `faiss.Kmeans(...).index`.

    Returns:
        The centroids, (K, D) or (Q, K, D) float32, and what the file is.

    Raises:
        CodebookError: the file is missing or is something else.
        ConfigError: the library that reads it is not installed.
    """
    if (got := instead_of_file(path)) is not None:
        raise CodebookError(f"codebook {path}", expected="a file", got=got)
    with open_regular(path) as file:
        begin = file.read(6)
    kind, read = _reader(path, begin)
    centroids = np.asarray(read(path))
    if centroids.dtype.kind != "f" or centroids.ndim not in (2, 3):
        raise CodebookError(
            f"centroids of {path}",
            expected="(K, D) or (Q, K, D) of a floating-point type",
            got=f"{centroids.shape} {centroids.dtype}",
        )
    with np.errstate(over="ignore"):  # infinity then, which no codebook may hold
        return np.ascontiguousarray(centroids, np.float32), kind


def _reader(path: Path, begin: bytes) -> tuple[str, Callable[[Path], Any]]:
    if begin == _NUMPY:
        return "numpy", _read_numpy
    if begin.startswith(_PICKLE):
        return "scikit-learn", _read_pickle
    if begin.startswith(_FAISS_L2):
        return "faiss", _read_faiss
    got, hint = "another file", "numpy.save(...) its centroids, (K, D), and import that"
    if begin.startswith(_COMPRESSED):
        got, hint = "a compressed one", "load it where you trust it, joblib.dump(..., compress=0)"
    elif begin.startswith(_FAISS_OTHERS):
        got = "another index of faiss, whose units are not the nearest centroids by distance"
    raise CodebookError(
        f"codebook {path}",
        expected="a file of numpy.save, joblib.dump or pickle.dump, or a faiss.IndexFlatL2",
        got=got,
        hint=hint,
    )


def _read_numpy(path: Path) -> Any:
    try:
        # mapped, for a shape that the file does not hold would take memory before it is missed
        return np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    except LIBRARY_ERRORS as error:  # cut short, or an array of objects
        raise CodebookError(
            f"codebook {path}", expected="an array of numbers", got=_told(error)
        ) from error


def _read_faiss(path: Path) -> Any:
    try:
        import faiss
    except ImportError as error:
        raise ConfigError.of_absent(f"reading {path}", "faiss", "import", error) from error
    try:
        _check_faiss_sizes(path)
        index = faiss.read_index(str(path))
        return index.reconstruct_n(0, index.ntotal)
    except LIBRARY_ERRORS as error:
        raise CodebookError(
            f"codebook {path}", expected="a whole file", got=_told(error)
        ) from error


def _check_faiss_sizes(path: Path) -> None:
    """Refuse sizes that the file does not hold: faiss would fill the memory before it missed them.

    Raises:
        ValueError: it does not.
    """
    with open_regular(path) as file:
        dimension, number, _, metric, values = _FAISS_HEADER.unpack(file.read(_FAISS_HEADER.size))
        held = os.fstat(file.fileno()).st_size - _FAISS_HEADER.size
    if metric != 1 or dimension < 1 or not 0 < values == dimension * number <= held // 4:
        raise ValueError(f"{number} centroids of {dimension} in {held} bytes")


def _read_pickle(path: Path) -> Any:
    try:
        from joblib.numpy_pickle import NumpyArrayWrapper, NumpyUnpickler
    except ImportError as error:
        raise ConfigError.of_absent(f"reading {path}", "joblib", "import", error) from error

    class OfNumbers(NumpyArrayWrapper):  # type: ignore[misc]
        """The array that follows in the stream; one of objects would be a pickle of its own."""

        def read(self, *arguments: Any) -> Any:
            self.dtype, self.subclass = _numbers(vars(self)["dtype"]), np.ndarray
            return super().read(*arguments)

    known = {**_KNOWN, "joblib.numpy_pickle.NumpyArrayWrapper": OfNumbers}

    class Reader(NumpyUnpickler):  # type: ignore[misc]
        """Makes arrays, and of whatever else the file names an empty shell."""

        def find_class(self, module: str, name: str) -> Any:
            return known.get(f"{module}.{name}", _Shell)

    try:
        with open_regular(path) as file:
            found = Reader(str(path), file, ensure_native_byte_order=True).load()
        centroids = vars(found).get("cluster_centers_") if type(found) is _Shell else found
        if isinstance(centroids, _Array):
            centroids = centroids.values
    except LIBRARY_ERRORS as error:
        raise CodebookError(
            f"codebook {path}", expected="a whole pickle of numbers", got=_told(error)
        ) from error
    if not isinstance(centroids, np.ndarray):
        raise CodebookError(
            f"codebook {path}", expected="a fitted k-means, with cluster_centers_", got="none"
        )
    return centroids


class _Shell:
    """Stands for any object of a pickle: takes what it is given, and does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> _Shell:
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        """Take any arguments."""

    def __setstate__(self, state: Any) -> None:
        """Take the attributes, if such they are."""
        if isinstance(state, Mapping):
            vars(self).update(state)

    def __call__(self, *_: Any, **__: Any) -> _Shell:
        """Be what an object's method would give."""
        return self

    def append(self, _: Any) -> None:
        """Take an item, as a list would."""

    def extend(self, _: Any) -> None:
        """Take items, as a list would."""

    def __setitem__(self, _: Any, __: Any) -> None:
        """Take an item, as a dict would."""


class _Dtype(_Shell):
    """Stands for a type of numbers: numpy's own takes any layout of a pickle, pointers too."""

    def __init__(self, code: Any = "", *_: Any) -> None:
        """Take the code of a type, such as `f8`."""
        self.code = code

    def __setstate__(self, state: Any) -> None:
        """Take the order of its bytes."""
        self.order = state[1]


def _numbers(dtype: Any) -> np.dtype[Any]:
    """Return the type that a pickle means.

    Raises:
        UnpicklingError: it is not of numbers.
    """
    if not (isinstance(dtype, _Dtype) and re.fullmatch("[biufc][0-9]+", str(dtype.code))):
        raise pickle.UnpicklingError("an array of objects")
    found: np.dtype[Any] = np.dtype(dtype.code)
    return found.newbyteorder(">") if getattr(dtype, "order", "") == ">" else found


class _Array(_Shell):
    """Stands for an array: numpy's own would take pointers that a pickle makes up."""

    def __setstate__(self, state: Any) -> None:
        """Take what `numpy.ndarray.__reduce__` gives."""
        _, self.shape, self.dtype, self.fortran, self.data = state

    @property
    def values(self) -> npt.NDArray[Any]:
        """The array; of arrays and layouts that are none, what `LIBRARY_ERRORS` lists is raised."""
        flat: npt.NDArray[Any] = np.frombuffer(self.data, _numbers(self.dtype))
        return flat.reshape(self.shape, order="F" if self.fortran else "C")


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    """Be what protocol 5 has of an array."""
    array = _Array()
    array.__setstate__((1, shape, dtype, order == "F", data))
    return array


# what a pickle may name: stand-ins alone, by old names and new
_KNOWN: Mapping[str, Any] = {
    "numpy.dtype": _Dtype,
    "_codecs.encode": lambda text, _: text.encode("latin1"),  # what protocol 2 has of bytes
    **{
        f"{package}.{name}": stand_in
        for package in ("numpy.core", "numpy._core")
        for name, stand_in in {
            "multiarray._reconstruct": _Array,
            "numeric._frombuffer": _from_buffer,
        }.items()
    },
}


def _told(error: BaseException) -> str:
    return " ".join(f"{error}".split())[:300] or type(error).__name__
