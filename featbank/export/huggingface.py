"""Datasets of Hugging Face: Parquet files with their features in the schema, and a card."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from math import prod
from typing import Any, BinaryIO, ClassVar

import numpy as np

from featbank.base.terms import TERMS
from featbank.errors import ConfigError
from featbank.export.base import DESCRIBED, ShardedExport, described, refuse_field, refuse_name
from featbank.export.huggingface_card import card
from featbank.export.rows import ExportField
from featbank.export.source import ExportPiece, ExportSource
from featbank.export.work import ExportWork
from featbank.store.encoding import Array

_MOST_AXES = 5  # of datasets' arrays
_GROUP_BYTES = 32 << 20  # of the values in a row group, which is read as one


@dataclass(frozen=True, slots=True, kw_only=True)
class HuggingfaceExport(ShardedExport):
    """Hugging Face dataset, Parquet files `data/<split>-...` and a card; codes as lists (Q, T).

    `datasets.load_dataset(OUT)` reads it. Units are lists, features (T, D) an Array2D, vectors (D,)
    lists of a fixed length. With manifests there are duration_s, text, speaker, language, and
    license and consent where any row says one. What is no letter, digit or _ in the name of a split
    becomes _, as datasets demands. A split without utterances, which it cannot load, is left out.

    Args:
        shard_mb: of values in a Parquet file, at most.
    """

    version: ClassVar[int] = 3
    packages: ClassVar[tuple[str, ...]] = ("pyarrow",)
    extra: ClassVar[str] = "huggingface"

    def check(self, source: ExportSource) -> None:
        """Refuse what there are no columns for; see `Export.check`."""
        for field in source.fields:
            refuse_name(field, field.name, {"id", *DESCRIBED, *TERMS}, "hf")
            if len(field.axes) > (2 if field.is_codes else _MOST_AXES):
                refuse_field(field, "hf", expected="5 axes at most, or codes (Q, T)")
        names = [_split_name(split.name) for split in source.splits]
        if len(set(names)) < len(names):
            raise ConfigError(
                "export to hf",
                expected="splits whose letters and digits differ",
                got=", ".join(split.name for split in source.splits),
            )

    def write(self, source: ExportSource, work: ExportWork) -> None:
        """Write Parquet files, a piece each, and the card; see `Export.write`."""
        filled = replace(source, splits=tuple(filter(len, source.splits)) or source.splits)
        for split in filled.splits:
            of = split.num_pieces(self.max_bytes)
            for piece in split.pieces(self.max_bytes):
                name = f"data/{_split_name(split.name)}-{piece.number:05d}-of-{of:05d}.parquet"
                work.make(partial(_write_parquet, piece, source), name)
        work.make_text("README.md", card(filled, _split_name))


def _split_name(split: str) -> str:
    return re.sub(r"\W", "_", split, flags=re.ASCII)


def _write_parquet(piece: ExportPiece, source: ExportSource, file: BinaryIO) -> None:
    pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    schema = _schema(pyarrow, source)
    with parquet.ParquetWriter(file, schema) as writer:
        for rows in piece.groups(_GROUP_BYTES):
            columns = [pyarrow.array([row.id for row in rows], pyarrow.string())]
            for name in described(source):
                values = [getattr(row.manifest_row, name) for row in rows]
                columns.append(pyarrow.array(values, schema.field(name).type))
            for field in source.fields:
                arrays = [row.read(field.name) for row in rows]
                column = _lists(pyarrow, arrays, len(field.axes))
                columns.append(column.cast(schema.field(field.name).type))
            writer.write_table(pyarrow.Table.from_arrays(columns, schema=schema))


def _lists(pyarrow: Any, arrays: Sequence[Array], num_axes: int) -> Any:
    """Return arrays as one column of lists in lists, without a Python object a value."""
    column = pyarrow.array(np.concatenate([one.reshape(-1) for one in arrays]))
    for axis in reversed(range(num_axes)):
        # one list for each place of the axes before this one
        sizes = [np.full(prod(one.shape[:axis]), one.shape[axis]) for one in arrays]
        offsets = np.concatenate([[0], np.cumsum(np.concatenate(sizes))])
        column = pyarrow.ListArray.from_arrays(offsets.astype(np.int32), column)
    return column


def _schema(pyarrow: Any, source: ExportSource) -> Any:
    """Return the schema, with the features of datasets among its metadata."""
    columns = [pyarrow.field("id", pyarrow.string())]
    features: dict[str, Any] = {"id": _value("string")}
    for name, dtype in described(source).items():
        kind = "string" if dtype == "str" else dtype
        columns.append(pyarrow.field(name, pyarrow.type_for_alias(kind)))
        features[name] = _value(kind)
    for field in source.fields:
        feature = features[field.name] = _feature(field)
        is_vector = len(field.axes) == 1 and field.axes[0] is not None
        lists = pyarrow.from_numpy_dtype(field.dtype)
        for _ in field.axes:
            lists = pyarrow.list_(lists, field.axes[0]) if is_vector else pyarrow.list_(lists)
        columns.append(pyarrow.field(field.name, lists, metadata=_extension(feature)))
    said = json.dumps({"info": {"features": features}})
    return pyarrow.schema(columns, metadata={"huggingface": said})


def _extension(feature: Mapping[str, Any]) -> Mapping[str, str] | None:
    """Return what names an Array2D to Arrow: datasets takes no other lists for one."""
    if not feature["_type"].startswith("Array"):
        return None
    return {
        "ARROW:extension:name": f"datasets.features.features.{feature['_type']}ExtensionType",
        "ARROW:extension:metadata": json.dumps([feature["shape"], feature["dtype"]]),
    }


def _feature(field: ExportField) -> Mapping[str, Any]:
    """Return a column as datasets describes it."""
    value = _value(field.dtype.name)
    if not field.axes:
        return value
    if field.is_codes:
        return {"feature": {"feature": value, "_type": "List"}, "_type": "List"}
    if len(field.axes) == 1:
        length = field.axes[0] or -1
        return {"feature": value, "length": length, "_type": "List"}
    kind = f"Array{len(field.axes)}D"
    return {"shape": list(field.axes), "dtype": field.dtype.name, "_type": kind}


def _value(dtype: str) -> Mapping[str, str]:
    return {"dtype": dtype, "_type": "Value"}
