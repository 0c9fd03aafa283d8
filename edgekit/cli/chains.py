"""The shortest chain of exact steps from one format to another, for ``convert --to FORMAT``."""

from __future__ import annotations

from collections import deque
from pathlib import Path

from edgekit.errors import InputError


def shortest_chain(given: str, wanted: str) -> list[str]:
    """The names of the steps; of several chains of one length, the first by name.

    Raises:
        InputError: no exact steps lead there (or it is that format already); the message lists what can be reached.
    """
    from edgekit.steps import STEPS

    exact = [step for step in STEPS if step.exact]
    chains: dict[str, list[str]] = {given: []}
    waiting = deque([given])
    while waiting:
        format_name = waiting.popleft()
        for step in exact:
            if step.accepts == format_name and step.produces not in chains:
                chains[step.produces] = [*chains[format_name], step.name]
                waiting.append(step.produces)
    if chains.get(wanted):
        return chains[wanted]
    reached = ", ".join(name for name in sorted(chains) if chains[name])
    if wanted == given:
        raise InputError(f"the model is in the format {given} already", remedy="copy the file", code="nothing_to_do")
    raise InputError(
        f"no exact steps lead from {given} to `{wanted}`",
        remedy=f"from {given} there are {reached}" if reached else f"no step takes {given}",
        code="no_chain",
    )


def format_of(model: str) -> str:
    """The format of a model as it is named on the command line: a file, or ``file.py:NAME``.

    Raises:
        InputError: no such file, or in no format that edgekit knows.
    """
    from edgekit.formats import find_format

    return "torch" if ".py:" in model else find_format(Path(model)).name
