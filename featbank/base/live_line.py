"""The live line of a step on a terminal: what it waits for, or a bar and how far it is."""

from __future__ import annotations

import logging
import sys
from typing import Any

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from featbank.base.notices import Notice
from featbank.base.step_meter import StepMeter

_LEAST_BAR, _MOST_BAR = 6, 40  # columns
_A_SECOND = 4  # redrawn as often: what a step tells changes numbers only


class LiveLine:
    """Draws the innermost step on standard error until it is closed; log records go above it.

    Args:
        meters: of the steps that are under way, the innermost last.
    """

    def __init__(self, meters: list[StepMeter]) -> None:
        self.meters = meters
        self._spinner = Spinner("line")
        self._console = Console(stderr=True)
        self._above = _AboveTheLine(self._console)
        self._handlers = [
            handler
            for handler in logging.getLogger().handlers
            if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr
        ]
        # standard output is for what was asked for, and may be a file
        self._live = Live(
            console=self._console,
            get_renderable=self._line,
            refresh_per_second=_A_SECOND,
            transient=True,
            redirect_stdout=False,
        )
        for handler in self._handlers:
            handler.setStream(self._above)
        self._stderr = sys.stderr
        self._live.start()

    def hear(self, notice: Notice) -> None:
        """Take in what is new in the innermost step; what is waited for is drawn at once."""
        self.meters[-1].hear(notice)
        if notice.phase is not None and self._live.is_started:
            self._live.refresh()

    def close(self) -> None:
        """Take the line away."""
        self._live.stop()
        for handler in self._handlers:
            if handler.stream is self._above:
                handler.setStream(self._stderr)

    def _line(self) -> RenderableType:
        return line_of(self.meters[-1], self._spinner, self._console.width)


def line_of(meter: StepMeter, spinner: Spinner, width: int) -> RenderableType:
    """Return the line of a step: on a narrow terminal its name is cut, and not its numbers.

    Args:
        meter: of the step.
        spinner: turns while nothing is told.
        width: of the terminal, in columns.
    """
    name, said = Text(meter.name), Text(meter.said_short())
    room = width - said.cell_len - 1
    width_of_bar = min(_MOST_BAR, room - name.cell_len - 1)
    has_bar = meter.done and meter.total and width_of_bar >= _LEAST_BAR
    line = Table.grid(padding=(0, 1, 0, 0))
    if has_bar and meter.total:
        line.add_column(no_wrap=True, width=room - width_of_bar - 1)
        line.add_column(width=width_of_bar)
        bar = ProgressBar(meter.total, min(meter.done, meter.total), width=width_of_bar)
        row: list[RenderableType] = [name, bar]
    else:
        line.add_column(no_wrap=True, width=max(1, room))
        spinner.update(text=name)
        row = [spinner]
    line.add_column(no_wrap=True)
    line.add_row(*row, said)
    return line


class _AboveTheLine:
    """A stream for log handlers, whose lines are written above the line that is drawn."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def write(self, text: str) -> None:
        # as it is: no markup, and no line break where a terminal would wrap
        self._console.print(Text(text.removesuffix("\n")), soft_wrap=True)

    def flush(self) -> None:
        """Leave it: each line is written at once."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._console.file, name)
