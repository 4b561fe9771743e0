"""Help of a stage: examples, flags, the options of conf/, and each key by what it decides."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from featbank.pipeline.described import Described

FLAGS = {"--dry-run": "forecast", "--break-lock": "break_lock"}
"""What may be typed for a key that is to be true."""

_OF_HYDRA = {
    "--multirun": "runs the stage once for each of several values: feature=fbank,mfcc",
    "--cfg job": "prints the configuration as YAML, and runs nothing",
    "--help": "shows this",
    "--hydra-help": "lists all flags of Hydra's own",
}
_KINDS = {
    "places": "What it reads and writes",
    "bytes": "What decides the bytes of its outputs",
    "knobs": "How it runs: no value that is asked for follows from these",
}
_LEAST, _MOST = 60, 120  # columns of a terminal that help is wrapped to
_LAST = "runtime"  # many keys that few people set
_TARGET = "the class, whose arguments are the keys beside it"


def help_text(
    stage: str,
    said: str,
    schema: Described,
    values: Mapping[str, object],
    *,
    options: Mapping[str, Sequence[str]],
    comments: Mapping[str, str],
) -> str:
    """Return the help of a stage, wrapped to the width of the terminal.

    Args:
        stage: its name.
        said: what it does, in a sentence, and examples.
        schema: of its configuration.
        values: of its configuration as they are written, by key.
        options: of the groups of conf/ that it takes, by group.
        comments: of the files of the options, by dotted key: of arguments that classes check.
    """
    flags = {flag: key for flag, key in FLAGS.items() if key in schema.keys}
    width = min(max(shutil.get_terminal_size().columns, _LEAST), _MOST) - 1
    lines = [
        *said.strip().splitlines(),
        "",
        f"usage: python stages/{stage}.py [KEY=VALUE | GROUP=OPTION] [FLAG]",
        "",
        "flags:",
        *_listed(
            {flag: _of_flag(schema, flag, key) for flag, key in flags.items()} | _OF_HYDRA, width
        ),
    ]
    if options:
        lines += ["", "groups, whose options are files: conf/GROUP/OPTION.yaml"]
        lines += _listed({group: ", ".join(names) for group, names in options.items()}, width)
    for kind, title in _KINDS.items():
        keys = [key for key in schema.keys if key in values and _kind(schema, key) == kind]
        keys.sort(key=lambda key: key == _LAST)
        if keys:
            lines += ["", f"{title}:"]
            lines += _keys(schema, values, keys, comments, width)
    return "\n".join(lines)


def explained_keys(
    schema: Described,
    values: Mapping[str, object],
    keys: Iterable[str],
    comments: Mapping[str, str],
    *,
    before: str = "",
) -> Iterator[tuple[str, object, Described | None, str]]:
    """Give keys and those within them: dotted name, value, schema if it has one, what it is.

    Args:
        schema: that has the keys.
        values: of them, as they are written.
        keys: which of them; those that the schema leaves open are all given.
        comments: of the files of the options, by dotted key.
        before: the names, where the schema is of a section: `runner.`.
    """
    for key in keys:
        inner, value = schema.at([key]), values.get(key)
        if inner is not None and key in values:
            name = f"{before}{key}"
            yield name, value, inner, inner.help
            if isinstance(value, Mapping) and (inner.keys or inner.is_open):
                yield from explained_keys(inner, value, inner.keys, comments, before=f"{name}.")
    if schema.is_open:
        named = [key for key in values if key not in schema.keys]
        yield from _arguments({key: values[key] for key in named}, comments, before)


def _arguments(
    values: Mapping[str, object], comments: Mapping[str, str], before: str
) -> Iterator[tuple[str, object, None, str]]:
    """Give arguments of a class; those within them where comments are about them."""
    for key, value in values.items():
        name = f"{before}{key}"
        yield name, value, None, _TARGET if key == "_target_" else comments.get(name, "")
        if isinstance(value, Mapping) and any(one.startswith(f"{name}.") for one in comments):
            yield from _arguments(value, comments, f"{name}.")


def _keys(
    schema: Described,
    values: Mapping[str, object],
    keys: Iterable[str],
    comments: Mapping[str, str],
    width: int,
) -> Iterator[str]:
    found = list(explained_keys(schema, values, keys, comments))
    for name, value, inner, said in found:
        is_section = any(other.startswith(f"{name}.") for other, *_ in found)
        indent = "  " + "  " * name.count(".")
        yield f"{indent}{name}" if is_section else f"{indent}{name}={_shown(value)}"
        told = f" ({inner.told})" if inner is not None and not is_section else ""
        yield from _wrapped(f"{said}{told}".strip(), f"{indent}    ", width)
        entry = inner.at([0]) if inner is not None else None
        for key in entry.keys if entry is not None else ():
            one = entry and entry.at([key])
            if one is not None:
                yield from _wrapped(f"- {key}: {one.help} ({one.told})", f"{indent}    ", width)


def _kind(schema: Described, key: str) -> str:
    one = schema.at([key])
    if one is None or one.is_knob:
        return "knobs"
    return "places" if one.is_place else "bytes"


def _of_flag(schema: Described, flag: str, key: str) -> str:
    found = schema.at([key])
    return found.help.removeprefix(f"true, or {flag}, ") if found is not None else ""


def _listed(texts: Mapping[str, str], width: int) -> Iterator[str]:
    """Give names and texts, in two columns."""
    column = max(map(len, texts)) + 2
    for name, text in texts.items():
        first, *rest = textwrap.wrap(text, width - column - 2) or [""]
        yield f"  {name:<{column}}{first}".rstrip()
        yield from (f"  {'':<{column}}{line}" for line in rest)


def _wrapped(text: str, indent: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False
    )


def _shown(value: Any) -> str:
    if isinstance(value, bool | None):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_shown(one)}' for key, one in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(_shown(one) for one in value)}]"
    return str(value)
