"""No task: outputs are compared number by number (SQNR), nothing is decided, and labels have no meaning."""

from __future__ import annotations

from edgekit.tasks import Task, task


@task("compare", metric=None)
class Compare(Task):
    """For models whose outputs edgekit does not interpret."""
