"""Standard input and output as they may be: closed, a pipe that nobody reads, a full disk."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from featbank.files.disk import named

_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


@contextmanager
def guarded() -> Iterator[None]:
    """Run a program so that what becomes of its standard streams is no traceback.

    A stream that is closed leads nowhere. When the reader of standard output has seen enough, the
    program ends with status 1, as it does, with one line on standard error, when standard output
    takes no more. What standard error does not take is lost.

    Raises:
        SystemExit: standard output takes no more.
    """
    _open_closed()
    stream: Any = sys.stdout
    if stream is sys.__stdout__ and isinstance(stream, io.TextIOWrapper):
        stream.flush()
        output = _Output(stream.fileno(), "w", closefd=False)
        sys.stdout = io.TextIOWrapper(
            output if stream.write_through else io.BufferedWriter(output),
            encoding=stream.encoding,
            errors=stream.errors,
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
    try:
        yield
    finally:
        try:
            sys.stdout.flush()
        finally:
            sys.stdout = stream
            try:
                sys.stderr.flush()
            except OSError:
                _discard(2)  # or Python complains of it once more when it ends


def _open_closed() -> None:
    """Open what is closed of the standard streams on /dev/null.

    Else the next file that is opened has the number, and a shard may get what a library prints.
    """
    for number, (name, mode) in enumerate(_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            _discard(number)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


class _Output(io.FileIO):
    """Standard output that ends the program when it takes no more."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            _discard(self.fileno())
            raise SystemExit(1) from None
        except OSError as error:
            _discard(self.fileno())
            told = named(error, "standard output", "writing")
            raise SystemExit(f"{type(told).__name__}: {told}") from None


def _discard(number: int) -> None:
    """Have a descriptor lead nowhere, in the programs that are started from here too."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    with suppress(OSError):
        os.dup2(nowhere, number)
    if nowhere == number:  # it was closed, and the lowest that is free
        os.set_inheritable(number, True)
    else:
        os.close(nowhere)
