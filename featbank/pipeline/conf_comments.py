"""Comments of the files of conf/, by the keys that they are about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from featbank.files.opening import read_regular

_MAX_BYTES = 256 << 10


def option_comments(file: Path) -> Mapping[str, str]:
    """Return what a YAML file says of its keys, by their dotted names.

    The comment of a key stands behind its value, or above it in lines of its own. The first lines
    of a file are about all of it.

    Raises:
        OSError: it cannot be read.
        yaml.YAMLError: it is no YAML.
    """
    text = read_regular(file, _MAX_BYTES).decode()
    lines = text.splitlines()
    found: dict[str, str] = {}
    for name, key, value in _keys(yaml.compose(text, Loader=yaml.SafeLoader), ""):
        row = key.start_mark.line
        is_beside = value.end_mark.line == row and not isinstance(value, yaml.MappingNode)
        end = value.end_mark if is_beside or getattr(value, "flow_style", False) else key.end_mark
        _, sign, behind = lines[end.line][end.column :].partition("#")
        said = [*_above(lines, row, key.start_mark.column), *([behind.strip()] if sign else [])]
        if said:
            found[name] = " ".join(said)
    return found


def _keys(node: yaml.Node | None, before: str) -> Iterator[tuple[str, yaml.ScalarNode, yaml.Node]]:
    if isinstance(node, yaml.MappingNode) and not node.flow_style:
        for key, value in node.value:
            yield f"{before}{key.value}", key, value
            yield from _keys(value, f"{before}{key.value}.")


def _above(lines: list[str], row: int, column: int) -> list[str]:
    """Return the lines of comment right above a key, if they are not the first of the file."""
    first = row
    while first and lines[first - 1].startswith(f"{' ' * column}# "):
        first -= 1
    return [line.strip("# ") for line in lines[first:row]] if first else []
