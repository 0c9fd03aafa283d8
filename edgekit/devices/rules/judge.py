"""What a table makes of a graph: each operator's place, why, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from edgekit.devices.limits import Complaint, find_complaint, short_name
from edgekit.devices.limits.view import View
from edgekit.devices.placement import Placed, Violation
from edgekit.devices.profile import Profile
from edgekit.devices.refusals import find_refusal
from edgekit.devices.remedies import choose
from edgekit.devices.rules.table import Entry, OperatorTable
from edgekit.graph import Graph, Operator

#: Where an operator goes that the accelerator does not take: no part of the model can run, or the CPU runs that part.
Elsewhere = Literal["unsupported", "cpu"]

SUPPORTED = "supported"
NOT_LISTED = "not in the list of operators"
REFUSED = "operator not supported"
WRONG_TYPE = "type not supported"
LIMIT = "limit not kept"
NOT_KNOWN = "not known"
NONE_KNOWN = "no remedy is known"
RULED_OUT = "write it with operators that the device takes, or leave that part to the program around the model"


def judge_operators(
    graph: Graph, table: OperatorTable, profile: Profile, release: str | None, *, elsewhere: Elsewhere
) -> tuple[Placed, ...]:
    """Each operator by what the profile itself rules out, then by the table at that release; with no release nothing
    else is known of any."""
    judge = _Judge(View(graph), table, profile, release, elsewhere)
    return tuple(judge.place(operator) for operator in graph.operators)


def collect_notes(graph: Graph, table: OperatorTable, release: str | None) -> tuple[str, ...]:
    """What the table adds to the operators of this graph, each once."""
    if release is None:
        return ()
    found = {}
    for operator in graph.operators:
        entry = table.find(operator.type, release)
        if entry is not None and entry.supported and entry.note:
            found[operator.type] = f"{operator.type}: {entry.note}"
    return tuple(found.values())


class _Judge:
    def __init__(
        self, view: View, table: OperatorTable, profile: Profile, release: str | None, elsewhere: Elsewhere
    ) -> None:
        self._view, self._table, self._profile, self._elsewhere = view, table, profile, elsewhere
        self._given, self._release = release is not None, release or ""

    def place(self, operator: Operator) -> Placed:
        ruled_out = find_refusal(self._profile, self._view.graph, operator)
        if ruled_out is not None:
            return self._reject(operator, REFUSED, ruled_out, (operator.type,), RULED_OUT)
        if not self._given:
            return _not_known(operator, f"no list of operators of this {self._table.title} is known")
        domain = operator.attributes.get("domain")
        entry = self._table.find(f"{domain}.{operator.type}" if domain else operator.type, self._release)
        if entry is None and domain:
            return self._unlisted(operator, f"it is an operator of the domain {domain}")
        if entry is None:
            return self._unlisted(operator, f"{self._name} does not list it")
        if not entry.known:
            return _not_known(operator, f"whether {self._name} takes it has no source")
        if not entry.supported:
            return self._refuse(operator, REFUSED, entry.reason or f"{self._name} does not support it")
        wrong = self._wrong_type(operator, entry)
        if wrong is not None:
            return self._reject(operator, WRONG_TYPE, wrong, ("type",))
        complaint = find_complaint(self._view, operator, self._limits(entry))
        if complaint is None:
            return _placed(operator, "accelerator", SUPPORTED, "mapped")
        return self._limited(operator, complaint)

    @property
    def _name(self) -> str:
        return f"{self._table.title} {self._release}" if len(self._table.releases) > 1 else self._table.title

    def _limits(self, entry: Entry) -> dict[str, Any]:
        """The entry's limits over the general ones; of a limit that names attributes or positions both hold."""
        limits = dict(self._table.general)
        for name, told in entry.limits.items():
            both = isinstance(told, dict) and name in limits
            limits[name] = {**limits[name], **told} if both else told
        return limits

    def _limited(self, operator: Operator, complaint: Complaint) -> Placed:
        if not complaint.known:
            return _not_known(operator, f"not known: {complaint.reason}")
        causes = (f"{operator.type}/{complaint.limit}", f"any/{complaint.limit}")
        return self._reject(operator, LIMIT, complaint.reason, causes)

    def _unlisted(self, operator: Operator, reason: str) -> Placed:
        if self._table.unlisted == "not_known":
            return _not_known(operator, reason)
        return self._refuse(operator, NOT_LISTED, reason)

    def _refuse(self, operator: Operator, status: str, reason: str) -> Placed:
        """Whatever its data: a later release may take it."""
        later = self._table.first_support(operator.type, self._release)
        newer = None if later is None else f"{self._table.title} {later} has it"
        return self._reject(operator, status, reason, (operator.type,), newer)

    def _reject(
        self, operator: Operator, status: str, reason: str, causes: Sequence[str], more: str | None = None
    ) -> Placed:
        """With the table's remedy for the first of the causes that has one, and ``more``; else the one for all."""
        chosen = self._choose(causes, operator)
        if more is None:
            chosen = chosen or self._choose(("any",), operator) or (NONE_KNOWN,)
        first, *others = [f"{text}; {more}" if more else text for text in chosen] or [str(more)]
        placed = _placed(operator, self._elsewhere, status, "rejected", reason, first)
        return replace(placed, alternatives=tuple(others))

    def _choose(self, causes: Sequence[str], operator: Operator) -> tuple[str, ...]:
        return choose(self._table.remedies, causes, self._view, operator)

    def _wrong_type(self, operator: Operator, entry: Entry) -> str | None:
        if entry.types is None:
            return None
        data = None if entry.data == "output" else self._view.input(operator, entry.data)
        judged = [data or self._view.output(operator, 0)]
        if operator.type in self._table.stored.get("types_of_output_too", ()):
            judged.append(self._view.output(operator, 0))
        narrowed = self._table.fact(self._release, "narrowed", {})
        for tensor in judged:
            if tensor is not None and narrowed.get(tensor.dtype, tensor.dtype) not in entry.types:
                return f"{short_name(tensor)} is {tensor.dtype}; {self._name} takes {', '.join(entry.types)}"
        return None


def check_opset(graph: Graph, table: OperatorTable, release: str | None) -> tuple[Violation, ...]:
    """The violation of a release's ``opset_max`` or ``opset_min``, if there is one."""
    opset = graph.metadata.get("opset")
    if release is None or not isinstance(opset, int):
        return ()
    most, least = table.fact(release, "opset_max"), table.fact(release, "opset_min", 0)
    if most is not None and opset > most:
        message = f"the model has opset {opset}; {table.title} {release} reads up to opset {most}"
        remedy = (
            f"add the step onnx_lower_opset:opset={most}, which writes it in that opset; or export it so "
            f"(torch_to_onnx with exporter: torchscript, opset: {most})"
        )
        return (Violation("opset", message, remedy, table.source),)
    if opset < least:
        message = f"the model has opset {opset}; {table.title} {release} reads opset {least} and newer"
        return (Violation("opset", message, f"convert it to opset {least} or newer", table.source),)
    return ()


def check_input_types(graph: Graph, table: OperatorTable, release: str | None) -> tuple[Violation, ...]:
    """A violation for each input whose type is not in the release's ``input_types``, or in its
    ``refused_input_types``."""
    if release is None:
        return ()
    allowed, refused = table.fact(release, "input_types"), table.fact(release, "refused_input_types", [])
    return tuple(
        Violation(
            "input_type",
            f"the input {tensor.name} is {tensor.dtype}, which {table.title} {release} does not take",
            table.remedies["input_type"][0].text,
            table.source,
        )
        for tensor in (graph.tensors[index] for index in graph.inputs)
        if tensor.dtype in refused or (allowed is not None and tensor.dtype not in allowed)
    )


def check_static(graph: Graph, table: OperatorTable) -> tuple[Violation, ...]:
    """A violation for the inputs whose sizes are not fixed."""
    free = [graph.tensors[index].name for index in graph.inputs if graph.tensors[index].elements is None]
    if not free:
        return ()
    message = f"{table.title} takes no input of free size: {', '.join(free)}"
    return (Violation("dynamic_shape", message, "fix the shape of the inputs before export", table.source),)


def check_quantized(graph: Graph, profile: Profile, quantizing: Sequence[str]) -> tuple[Violation, ...]:
    """A violation if the model holds quantized activations where the profile excludes INT8."""
    why = profile.excluded.get("int8")
    found = sorted({operator.type for operator in graph.operators if operator.type in quantizing})
    if why is None or why.value is None or not found:
        return ()
    return (
        Violation(
            "precision",
            f"the model is quantized ({', '.join(found)}), and {profile.name} has no INT8: {why.value}",
            f"give it the float model: {', '.join(profile.routes)}",
            why.source,
        ),
    )


def _not_known(operator: Operator, reason: str) -> Placed:
    return _placed(operator, "not_known", NOT_KNOWN, "unknown", reason)


def _placed(
    operator: Operator,
    placement: Literal["accelerator", "cpu", "unsupported", "not_known"],
    status: str,
    cause: Literal["mapped", "rejected", "unknown"],
    reason: str | None = None,
    remedy: str | None = None,
) -> Placed:
    return Placed(
        operator.index,
        operator.type,
        operator.name,
        placement,
        status,
        cause,
        reason,
        remedy,
        operator.macs,
        operator.params,
    )
