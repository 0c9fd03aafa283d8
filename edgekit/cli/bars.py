"""The bars that a terminal shows of jobs at work. Imports rich, so only when the first job starts."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task
from rich.text import Text


def make_bars() -> Progress:
    """``name  bar  how far, how long`` for each job, on standard error; nothing of them stays when they stop."""
    return Progress(
        SpinnerColumn(),
        NameColumn(),
        BarColumn(bar_width=24),
        FarColumn(),
        console=Console(stderr=True, highlight=False),
        transient=True,
    )


class NameColumn(ProgressColumn):
    """The job's name, padded to the longest seen so far, so that bars do not jump when jobs come and go."""

    def __init__(self) -> None:
        super().__init__()
        self._width = 0

    def render(self, task: Task) -> Text:
        """The name of one job."""
        self._width = max(self._width, len(task.description))
        return Text(task.description.ljust(self._width), no_wrap=True, overflow="ellipsis")


class FarColumn(ProgressColumn):
    """``137 of 200, 0.8 s``; a job that cannot say how far it is shows the time alone."""

    max_refresh = 0.1

    def render(self, task: Task) -> Text:
        """The state of one job."""
        from edgekit.report import figures

        far = f"{task.completed:.0f} of {task.total:.0f}, " if task.total else ""
        return Text(f"{far}{figures.seconds(round(task.elapsed or 0.0, 1))}", no_wrap=True)
