"""What to do about a cause, as data: words, the step of edgekit that does it, and where that holds. In a table,

    HARD_SWISH: {step: onnx_replace_activations, do: "which writes x * relu6(x + 3) / 6"}
    SQRT:
      - {when: {in_tail: true}, step: onnx_cut_tail, do: "which moves it to the host"}
      - no step writes it in operators that map
    MUL/larger_side: "write it as a matrix product"

``when`` are limits (``edgekit/devices/limits``) that the operator keeps; the first remedy of a list that holds counts,
and the next one where its step is found to change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgekit.devices.limits import LIMITS, find_complaint
from edgekit.devices.limits.view import View
from edgekit.errors import BugError
from edgekit.graph import Operator


@dataclass(frozen=True)
class Remedy:
    """``step`` as the flag ``--step`` takes it, NAME or NAME:OPTION=VALUE (None: nothing that edgekit does)."""

    do: str
    step: str | None = None
    when: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.do if self.step is None else f"add the step {self.step}, {self.do}"

    def holds(self, view: View, operator: Operator) -> bool:
        return find_complaint(view, operator, self.when) is None


Remedies = Mapping[str, tuple[Remedy, ...]]


def read_remedies(table: str, stored: Mapping[str, Any]) -> dict[str, tuple[Remedy, ...]]:
    """The remedies of a table by what they are for.

    Raises:
        BugError: a condition that nothing checks.
    """
    return {str(cause): tuple(_read(table, cause, one) for one in _listed(told)) for cause, told in stored.items()}


def choose(remedies: Remedies, causes: Iterable[str], view: View, operator: Operator) -> tuple[str, ...]:
    """The remedies that hold for the operator, those of the first cause before those of the next, up to the first that
    names no step: whoever has tried the one turns to the next."""
    found: list[str] = []
    for one in (one for cause in causes for one in remedies.get(cause, ())):
        if one.text not in found and one.holds(view, operator):
            found.append(one.text)
            if one.step is None:
                break
    return tuple(found)


def _listed(told: Any) -> list[Any]:
    return told if isinstance(told, list) else [told]


def _read(table: str, cause: str, told: Any) -> Remedy:
    remedy = Remedy(told) if isinstance(told, str) else Remedy(**told)
    strange = [name for name in remedy.when if name not in LIMITS]
    if strange:
        raise BugError(f"{table}.yaml: a remedy of {cause} has conditions that nothing checks: {', '.join(strange)}")
    return remedy
