"""Rows of Parquet and Arrow files with a column of audio: what each says, and where its audio lies.

Nothing of the audio is read here, unless a Parquet file does not state which of its cells are null.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from featbank.audio.containers import open_archive
from featbank.audio.inside.parquet import Cell, import_pyarrow
from featbank.base.failures import brief
from featbank.base.places import Place
from featbank.corpora.paths import AUDIO_SUFFIXES
from featbank.errors import AudioError, CorpusError
from featbank.files.json_files import parse_json
from featbank.files.remote import AnyPath, open_any, open_parts

_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"
_FILE_MAGIC = b"ARROW1"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRow:
    """One row of a file of a dataset.

    Args:
        number: of the row in its file, from 0.
        place: of its audio in that file; None where that has none.
        path: that its audio has or had, as the row says; empty where it says none.
        values: of the other columns that were asked for.
    """

    number: int
    place: Place | None
    path: str
    values: dict[str, Any]


def dataset_rows(
    root: AnyPath, name: str, audio: str, columns: Sequence[str]
) -> Iterator[DatasetRow]:
    """Give the rows of a Parquet or Arrow file.

    Args:
        root: of the corpus.
        name: of the file, relative to it.
        audio: column of the audio: bytes, a path, or both, as Hugging Face has it.
        columns: others to read.

    Raises:
        AudioError: the file is missing, damaged or cut short; rows that were given are whole.
        CorpusError: it has no such columns, or pyarrow is not there.
        OSError: the machine failed, not the file.
    """
    arrow, _ = import_pyarrow()
    read = _parquet_rows if name.endswith(".parquet") else _arrow_rows
    try:
        open_archive(root / name).close()
        yield from read(root, name, audio, columns)
    except MemoryError:
        raise
    except (arrow.ArrowException, UnicodeDecodeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # pyarrow says "corrupt" without a number
        raise AudioError(
            f"archive {name}", kind="damaged", expected="a whole file", got=brief(str(error))
        ) from error


def _parquet_rows(
    root: AnyPath, name: str, audio: str, columns: Sequence[str]
) -> Iterator[DatasetRow]:
    _, parquet = import_pyarrow()
    source = root / name if isinstance(root, Path) else open_parts(root / name)
    with parquet.ParquetFile(source, memory_map=False, pre_buffer=False) as file:
        of = _Columns(file.schema_arrow, name, audio, columns)
        number = 0
        for group in range(file.num_row_groups):
            holds = _cells_with_bytes(file, group, of)
            read = file.read_row_group(group, columns=[*of.of_paths, *columns], use_threads=False)
            paths = read.flatten().column(of.of_paths[0]).to_pylist() if of.of_paths else None
            values = of.values(read)
            for row in range(file.metadata.row_group(group).num_rows):
                path = (paths[row] if paths else None) or ""
                cell = Cell(column=audio, group=group, row=row, suffix=_suffix(path))
                place = Place(container=name, member=str(cell)) if holds[row] else None
                yield DatasetRow(number=number, place=place, path=path, values=values[row])
                number += 1


def _cells_with_bytes(file: Any, group: int, of: _Columns) -> Sequence[bool]:
    """Tell of each row of a group whether there are bytes in it."""
    meta = file.metadata.row_group(group)
    if not of.of_bytes:
        return [False] * meta.num_rows
    for number in range(meta.num_columns):
        chunk = meta.column(number)
        if chunk.path_in_schema == of.of_bytes and (found := chunk.statistics):
            if found.has_null_count and found.null_count in (0, meta.num_rows):
                return [found.null_count == 0] * meta.num_rows
            break
    read = file.read_row_group(group, columns=[of.of_bytes], use_threads=False)
    are_there: list[bool] = read.flatten().column(of.of_bytes).is_valid().to_pylist()
    return are_there


def _arrow_rows(
    root: AnyPath, name: str, audio: str, columns: Sequence[str]
) -> Iterator[DatasetRow]:
    arrow, _ = import_pyarrow()
    with _mapped(arrow, root / name) as mapped:
        whole = mapped.read_buffer()
        number = 0
        for batch in _batches(arrow, name, whole):
            of = _Columns(batch.schema, name, audio, columns)
            values = of.values(batch.select(columns))
            flat = arrow.Table.from_batches([batch.select([audio])]).flatten()
            paths = flat.column(of.of_paths[0]).to_pylist() if of.of_paths else None
            spans = _spans(arrow, flat.column(of.of_bytes), whole, name) if of.of_bytes else None
            for row in range(batch.num_rows):
                path = (paths[row] if paths else None) or ""
                place = None
                if spans and (span := spans[row]):
                    member = f"{audio}/{number:08d}{_suffix(path)}"
                    place = Place(container=name, member=member, start=span[0], num_bytes=span[1])
                yield DatasetRow(number=number, place=place, path=path, values=values[row])
                number += 1


@contextmanager
def _mapped(arrow: Any, path: AnyPath) -> Iterator[Any]:
    """Map a file into memory; one of another machine is fetched whole."""
    if isinstance(path, Path):
        with arrow.memory_map(str(path)) as mapped:
            yield mapped
        return
    with open_any(path) as file, arrow.memory_map(f"/proc/self/fd/{file.fileno()}") as mapped:
        yield mapped


def _spans(arrow: Any, column: Any, whole: Any, name: str) -> list[tuple[int, int] | None]:
    """Return the first byte in the file and the number of bytes of each value; None for null."""
    widths = {arrow.binary(): np.int32, arrow.large_binary(): np.int64}
    spans: list[tuple[int, int] | None] = []
    for chunk in column.chunks:
        _, ends, data = chunk.buffers() if chunk.type in widths else (None, None, None)
        if chunk.null_count == len(chunk):
            spans += [None] * len(chunk)
            continue
        if data is not None and not data.size:  # of empty values, which lie nowhere
            spans += [(0, 0) if is_there else None for is_there in chunk.is_valid().to_pylist()]
            continue
        first = data.address - whole.address if data else -1
        if not (ends and data) or not 0 <= first <= whole.size - data.size:
            raise CorpusError(
                f"dataset file {name}",
                expected="Arrow without compression, with plain bytes",
                got="compressed values" if chunk.type in widths else str(chunk.type),
            )
        at = np.frombuffer(ends, widths[chunk.type])[chunk.offset :][: len(chunk) + 1].tolist()
        spans += [
            (first + start, stop - start) if is_there else None
            for start, stop, is_there in zip(at, at[1:], chunk.is_valid().to_pylist(), strict=False)
        ]
    return spans


def _batches(arrow: Any, name: str, whole: Any) -> Iterator[Any]:
    """Give the batches of an Arrow file, or of a stream that is one, as datasets writes it."""
    source = arrow.BufferReader(whole)
    if whole.size and whole.slice(0, min(6, whole.size)).to_pybytes() == _FILE_MAGIC:
        reader = arrow.ipc.open_file(source)
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)
        return
    yield from arrow.ipc.open_stream(source)
    # a stream that ends between two batches looks whole
    end = whole.slice(max(0, whole.size - len(_END_OF_STREAM))).to_pybytes()
    if end != _END_OF_STREAM:
        raise AudioError(
            f"archive {PurePosixPath(name).name} is cut short",
            kind="truncated",
            expected="the mark of its end",
            got="none",
        )


class _Columns:
    """The columns of a file that are read, as its schema has them."""

    def __init__(self, schema: Any, name: str, audio: str, columns: Sequence[str]) -> None:
        if absent := [one for one in (audio, *columns) if one not in schema.names]:
            raise CorpusError(
                f"columns of {name}",
                expected=", ".join(absent),
                got=brief(", ".join(schema.names)),
                hint="set corpus.audio to the column of audio, and corpus.columns to the others",
            )
        if twice := [one for one in (audio, *columns) if schema.names.count(one) > 1]:
            raise CorpusError(
                f"columns of {name}", expected="each column once", got=brief(", ".join(twice))
            )
        kind = schema.field(audio).type
        parts = [kind.field(number).name for number in range(kind.num_fields)]
        is_bytes, is_text = "binary" in str(kind), "string" in str(kind)
        if not (is_bytes or is_text if not parts else {"bytes", "path"} & set(parts)):
            raise CorpusError(
                f"column {audio} of {name}", expected="bytes, a path, or both", got=brief(str(kind))
            )
        self.of_bytes = f"{audio}.bytes" if "bytes" in parts else "" if parts or is_text else audio
        self.of_paths = [f"{audio}.path"] if "path" in parts else [audio] if is_text else []
        self._columns = list(columns)
        self._classes = _class_names(schema, name)

    def values(self, table: Any) -> list[dict[str, Any]]:
        """Return what the rows of a table hold, classes by their names."""
        rows: list[dict[str, Any]] = table.select(self._columns).to_pylist()
        if not rows and not self._columns:
            rows = [{} for _ in range(table.num_rows)]
        for column in self._columns:
            if names := self._classes.get(column):
                for row in rows:
                    number = row[column]
                    if isinstance(number, int) and 0 <= number < len(names):
                        row[column] = names[number]
        return rows


def _class_names(schema: Any, name: str) -> dict[str, list[str]]:
    """Return the names of the classes that columns hold as numbers, as datasets states them."""
    said = (schema.metadata or {}).get(b"huggingface")
    if not said:
        return {}
    info = parse_json(said, f"metadata of {name}", CorpusError, nan=True).get("info")
    features = info.get("features") if isinstance(info, dict) else None
    return {
        column: list(map(str, feature["names"]))
        for column, feature in (features if isinstance(features, dict) else {}).items()
        if isinstance(feature, dict) and isinstance(feature.get("names"), list)
    }


def _suffix(path: str) -> str:
    suffix = PurePosixPath(path).suffix.lower()
    return suffix if suffix in AUDIO_SUFFIXES else ""
