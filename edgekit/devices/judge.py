"""Profile + graph -> Judgement: would the device run it, all of it, and where; everything that is wrong at once.

The profile's rule set places the operators; shapes, precision, opset and memory are held against the profile's facts.
What a profile does not know is answered with ``not known``, never with ``fits``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from edgekit.devices.assume import assume_quantized, is_float
from edgekit.devices.memory import parameter_bytes, peak_activation_bytes
from edgekit.devices.placement import Placed, Placement, Violation
from edgekit.devices.profile import Fact, Profile
from edgekit.devices.refusals import find_refusal
from edgekit.devices.rules import RULES
from edgekit.graph import Graph, TensorInfo

#: The status of operators of a device for which edgekit has no rules.
NO_RULES = "not known"

_INTEGERS = ("int8", "uint8")


@dataclass(frozen=True)
class Need:
    """What a model needs of one kind of memory, and what the device has; None where that is not known.

    ``required`` False: a model that needs more still runs (parameters are then fetched again and again). ``has`` may be
    an upper bound, so that a need below it is no proof. ``searched``: where a figure was looked for that the profile
    calls unknown. ``counted_as``: the type in which the device holds what is float32 in the file (None: as it is).
    """

    name: str
    needs: int | None
    has: int | None
    source: str | None = None
    required: bool = False
    searched: str | None = None
    counted_as: str | None = None

    @property
    def exceeds(self) -> bool | None:
        return None if self.needs is None or self.has is None else self.needs > self.has


@dataclass(frozen=True)
class Judgement:
    """What a device makes of a graph. ``placement`` has every violation, those of the profile after the rule set's."""

    target: str
    placement: Placement
    memory: tuple[Need, ...]
    assumed_quantized: bool

    def memory_dict(self) -> dict[str, Any]:
        """{name: {needs, has, exceeds, source}}, and as ``accelerator`` the bytes that the rule set or the compiler
        told of, by its names."""
        needs: dict[str, Any] = {
            need.name: {"needs": need.needs, "has": need.has, "exceeds": need.exceeds, "source": need.source}
            for need in self.memory
        }
        return {**needs, "accelerator": dict(self.placement.memory)}

    def unsettled(self) -> tuple[Need, ...]:
        """The needs of which it is not known whether the accelerator meets them, though the device's profile or the
        model leaves that open; what the device's own compiler took or refused is settled."""
        if self.placement.source == "compiler":
            return ()
        return tuple(
            need for need in self.memory if not need.required and (need.searched or (need.has and need.needs is None))
        )

    def mapped_range(self, figure: str) -> tuple[float, float] | None:
        """(share on the accelerator, the same if all that is not known were there too) of ``mapped_operators`` or
        ``mapped_macs``; None where there is nothing to take a share of."""
        least, most = self.placement.shares()[figure], self.placement.at_most().shares()[figure]
        return None if least is None or most is None else (least, most)

    def summary(self) -> dict[str, Any]:
        """What a report says of it: {mapped_operators, mapped_macs, source, verdict}; a share that is not known is
        None."""
        found: dict[str, Any] = {"source": self.placement.source, "verdict": self.placement.verdict()}
        for figure in ("mapped_operators", "mapped_macs"):
            ends = self.mapped_range(figure)
            found[figure] = None if ends is None or ends[0] != ends[1] else ends[0]
        return found


def judges(profile: Profile) -> str | None:
    """The format of the graphs that the profile's rule set reads; None where it has none, or reads that of any file."""
    return None if profile.operators.rules is None else RULES.get(profile.operators.rules).judges


def judge_graph(
    graph: Graph,
    profile: Profile,
    *,
    precision: str | None = None,
    converted: bool = False,
    ask: Callable[[Placement], Placement] = lambda predicted: predicted,
) -> Judgement:
    """What the device makes of a graph at ``precision`` (default: the profile's first).

    ``converted``: the graph is that of a file on the way to the device, not yet of its precision; where that is an
    integer one, it is judged as if quantized. ``ask`` may replace what the rules predict of a file as it is by a better
    answer.
    """
    assumed = converted and is_float(graph) and is_integer(profile, precision) and graph.format == "tflite"
    judged = assume_quantized(graph) if assumed else graph
    placement = _place(judged, profile)
    if not assumed:
        placement = _hold_refusals(ask(placement), judged, profile)
    known = {violation.rule for violation in placement.violations}
    own = (
        *_check_precision(judged, profile, converted),
        *_check_shapes(judged, profile),
        *_check_opset(judged, profile),
    )
    memory = tuple(_needs(judged, profile, precision))
    final = assumed or not converted  # what is still to be made smaller may need less than it does now
    violations = (*own, *(_too_large(need) for need in memory if final and need.required and need.exceeds))
    added = tuple(violation for violation in violations if violation.rule not in known)
    return Judgement(profile.name, replace(placement, violations=(*placement.violations, *added)), memory, assumed)


def judge_inexpressible(graph: Graph, profile: Profile, message: str, remedy: str | None) -> Judgement:
    """Of a graph that no file of a format which the device loads can hold, and that was therefore not placed."""
    placed = tuple(
        Placed(operator.index, operator.type, operator.name, "not_known", NO_RULES, "unknown")
        for operator in graph.operators
    )
    note = "where its operators would run is not known before the model is in a format that the device's rules read"
    placement = Placement("predicted", placed, violations=(Violation("format", message, remedy),), notes=(note,))
    return Judgement(profile.name, placement, tuple(_needs(graph, profile)), False)


def is_integer(profile: Profile, precision: str | None = None) -> bool:
    """Whether what flows between operators is 8-bit integers at that precision (default: the profile's first)."""
    found = profile.precisions.get(precision or profile.default_precision)
    return found is not None and found.activations.value in _INTEGERS


def _place(graph: Graph, profile: Profile) -> Placement:
    if profile.operators.rules is not None:
        return RULES.get(profile.operators.rules).place(graph, profile)
    note = f"edgekit has no rules for {profile.title}: nothing says where each operator runs"
    placed = tuple(_unruled(profile, graph, place) for place in range(len(graph.operators)))
    return Placement("predicted", placed, notes=(note,))


def _unruled(profile: Profile, graph: Graph, place: int) -> Placed:
    """One operator of a device without a rule set: only what the profile itself rules out is known."""
    operator = graph.operators[place]
    common = (operator.index, operator.type, operator.name)
    reason = find_refusal(profile, graph, operator)
    if reason is not None:
        return Placed(*common, "unsupported", "refused", "rejected", reason, None, operator.macs, operator.params)
    return Placed(*common, "not_known", NO_RULES, "unknown", None, None, operator.macs, operator.params)


def _hold_refusals(placement: Placement, graph: Graph, profile: Profile) -> Placement:
    """What the device's compiler told, without what the profile rules out: the compiler does not know of that."""
    if placement.source != "compiler" or len(placement.operators) != len(graph.operators):
        return placement
    held, types = [], set()
    for placed, operator in zip(placement.operators, graph.operators, strict=True):
        reason = find_refusal(profile, graph, operator) if placed.cause == "mapped" else None
        if reason is not None:
            placed = replace(placed, placement="cpu", status="refused", cause="rejected", reason=reason)
            types.add(placed.type)
        held.append(placed)
    if not types:
        return placement
    note = f"the compiler maps {', '.join(sorted(types))}, which the profile rules out; it divides the model as if not"
    return replace(placement, operators=tuple(held), notes=(*placement.notes, note))


# --- violations ------------------------------------------------------------------------------------------------------


def _check_precision(graph: Graph, profile: Profile, converted: bool) -> Iterator[Violation]:
    """A file that computes in floating point, for a device that has none. (Single operators are the rules' part.)"""
    if converted or not is_float(graph):
        return
    # The default precision's own float type, if it is a float one, is what the file may be in.
    excluded = profile.excluded.get("fp32")
    if excluded is None or excluded.value is None or "fp16" in profile.precisions:
        return
    precision = profile.default_precision
    yield Violation(
        "precision",
        f"the model computes in floating point: {excluded.value}",
        f"edgekit quantize MODEL --target {profile.name}/{precision} --data SAMPLES",
        excluded.source,
    )


def _check_shapes(graph: Graph, profile: Profile) -> Iterator[Violation]:
    yield from _check_free_sizes(graph, profile)
    yield from _check_batch(graph, profile.shapes.max_batch)
    if judges(profile) is None:  # the rules of an accelerator judge each operator by itself
        yield from _check_rank(graph, profile.shapes.max_rank)


def _check_free_sizes(graph: Graph, profile: Profile) -> Iterator[Violation]:
    """Sizes of inputs that the file itself leaves free. A free first size alone is a batch, which is taken as 1."""
    free, static = [tensor for tensor in _inputs(graph) if None in tensor.shape[1:]], profile.shapes.static
    if static is not None and static.value and free:
        names = ", ".join(_shown(tensor) for tensor in free)
        remedy = (
            "convert the model that the file was made from again, with its sizes: edgekit convert MODEL --target "
            f"{profile.name} --shape {free[0].name}=SIZES"
        )
        yield Violation("dynamic_shape", f"inputs have free sizes: {names}", remedy, static.source)


def _check_batch(graph: Graph, most: Fact[int] | None) -> Iterator[Violation]:
    """A batch of pictures: the first of four axes or more."""
    if most is None or most.value is None:
        return
    for tensor in _inputs(graph):
        first = tensor.shape[0] if len(tensor.shape) > 3 else None
        if first is not None and first > most.value:
            message = f"the input {_shown(tensor)} has a batch of {first}; the device takes {most.value}"
            remedy = f"export it with a batch of {most.value}, and call it once for each picture"
            yield Violation("batch", message, remedy, most.source)


def _check_rank(graph: Graph, most: Fact[int] | None) -> Iterator[Violation]:
    if most is None or most.value is None:
        return
    deep = [tensor for tensor in graph.tensors if not tensor.constant and len(tensor.shape) > most.value]
    if deep:
        more = f", and {len(deep) - 1} more" if len(deep) > 1 else ""
        message = f"a tensor may have {most.value} axes; {_shown(deep[0])} has {len(deep[0].shape)}{more}"
        yield Violation("rank", message, "reshape it to fewer axes before export", most.source)


def _check_opset(graph: Graph, profile: Profile) -> Iterator[Violation]:
    opset, limits = graph.metadata.get("opset"), profile.opset
    if not isinstance(opset, int) or isinstance(opset, bool):
        return
    if limits.max is not None and limits.max.value is not None and opset > limits.max.value:
        message = f"the model has opset {opset}; the device reads up to {limits.max.value}"
        yield Violation("opset", message, f"export it with opset {limits.max.value} or lower", limits.max.source)
    if limits.min is not None and limits.min.value is not None and opset < limits.min.value:
        message = f"the model has opset {opset}; the device reads {limits.min.value} and later"
        yield Violation("opset", message, f"export it with opset {limits.min.value} or higher", limits.min.source)


def _too_large(need: Need) -> Violation:
    assert need.needs is not None and need.has is not None
    message = f"{need.name.replace('_', ' ')}: the model needs at least {need.needs} bytes, the device has {need.has}"
    return Violation("memory", message, "a smaller model or input, or a lower precision", need.source)


def _inputs(graph: Graph) -> list[TensorInfo]:
    return [graph.tensors[index] for index in graph.inputs]


def _shown(tensor: TensorInfo) -> str:
    return f"`{tensor.name}` {'x'.join('?' if size is None else str(size) for size in tensor.shape)}"


# --- memory ----------------------------------------------------------------------------------------------------------


def _needs(graph: Graph, profile: Profile, precision: str | None = None) -> Iterator[Need]:
    """Of a device that computes in half precision, in which it also holds what the file has in float32."""
    found = profile.precisions.get(precision or profile.default_precision)
    halved = _halve(graph) if found is not None and found.activations.value == "float16" else graph
    for need in _needs_of(halved, profile):
        yield replace(need, counted_as="float16") if halved != graph else need


def _halve(graph: Graph) -> Graph:
    """The graph with float16 for float32, but for what goes in and out."""
    ends = {*graph.inputs, *graph.outputs}
    tensors = (
        replace(tensor, dtype="float16") if tensor.dtype == "float32" and index not in ends else tensor
        for index, tensor in enumerate(graph.tensors)
    )
    return replace(graph, tensors=tuple(tensors))


def _needs_of(graph: Graph, profile: Profile) -> Iterator[Need]:
    most = profile.shapes.max_batch
    if most is not None and most.value == 1:
        graph = _with_batch_of_one(graph)
    parameters, activations = parameter_bytes(graph), peak_activation_bytes(graph)
    both = None if parameters is None or activations is None else parameters + activations
    facts = profile.memory
    yield _need("parameter_bytes", parameters, facts.parameter_bytes)
    yield _need("activation_bytes", activations, facts.activation_bytes)
    for name, fact in (("usable_bytes", facts.usable_bytes), ("total_bytes", facts.total_bytes)):
        if fact is not None:
            yield _need(name, both, fact, required=True)


def _with_batch_of_one(graph: Graph) -> Graph:
    """The graph with 1 for a free first size, as the device takes no other batch."""
    tensors = (
        replace(tensor, shape=(1, *tensor.shape[1:])) if tensor.shape[:1] == (None,) else tensor
        for tensor in graph.tensors
    )
    return replace(graph, tensors=tuple(tensors))


def _need(name: str, needs: int | None, fact: Fact[int] | None, *, required: bool = False) -> Need:
    if fact is None:
        return Need(name, needs, None, None, required)
    return Need(name, needs, fact.value, fact.source, required, fact.unknown)
