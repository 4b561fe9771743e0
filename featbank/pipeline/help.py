"""Help of a stage: each key with its value, type, unit and meaning, and the options of conf/."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from featbank.pipeline.described import Described

GROUPS = "$APP_CONFIG_GROUPS"
"""Where Hydra puts the groups of conf/ and their options."""

FLAGS = {"--dry-run": "forecast", "--break-lock": "break_lock"}
"""What may be typed for a key that is to be true."""

_WIDTH = 100


def help_text(stage: str, said: str, schema: Described, values: Mapping[str, object]) -> str:
    """Return the help of a stage.

    Args:
        stage: its name.
        said: what it does.
        schema: of its configuration.
        values: of its configuration as they are written, by key.

    Returns:
        A template, in which Hydra replaces `GROUPS`.
    """
    flags = "".join(f" [{flag}]" for flag, key in FLAGS.items() if key in schema.keys)
    lines = [
        *said.strip().splitlines(),
        "",
        f"python stages/{stage}.py [GROUP=OPTION] [KEY=VALUE]{flags}",
        "",
        "Groups and their options: OPTION is what conf/GROUP/OPTION.yaml says.",
        "",
        GROUPS,
        "",
        "Keys: their values as these options and what is typed make them, and what they can be.",
        "Those without an explanation are arguments of the class that _target_ names, which checks",
        "them; the file of the option says what they mean.",
        "",
        *(line.replace("$", "$$") for line in _keys(schema, values, "")),
        "",
        "--cfg job prints this configuration as YAML, --hydra-help lists flags of Hydra's own.",
    ]
    return "\n".join(lines)


def _keys(schema: Described, values: Mapping[str, object], before: str) -> Iterator[str]:
    for key in schema.keys:
        inner = schema.at([key])
        if inner is not None and key in values:
            yield from _key(f"{before}{key}", inner, values[key])
    if schema.is_open:
        for key, one in values.items():
            if key not in schema.keys:
                yield f"{before}{key}: {_shown(one)}"


def _key(name: str, schema: Described, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping) and schema.keys:
        yield f"{name}: {schema.help}"
        for line in _keys(schema, value, f"{name}."):
            yield f"  {line}"
        return
    yield f"{name}: {_shown(value)}"
    yield from _wrapped(f"({schema.told}) {schema.help}")
    entry = schema.at([0])
    for key in entry.keys if entry is not None else ():
        inner = entry and entry.at([key])
        if inner is not None:
            yield from _wrapped(f"- {key}: ({inner.told}) {inner.help}")


def _wrapped(text: str) -> list[str]:
    indent = " " * 6
    return textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent)


def _shown(value: Any) -> str:
    if isinstance(value, bool | None):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_shown(one)}' for key, one in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(_shown(one) for one in value)}]"
    return str(value)
