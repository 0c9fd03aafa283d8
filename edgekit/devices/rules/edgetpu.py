"""What compiler 16 of the Edge TPU makes of a TensorFlow Lite model, operator by operator.

Every operator is judged by itself first (rank, data type, operator, version, limits: the first that fails names the
status, in the compiler's own words). Then the graph is cut: only the first region of supported operators becomes a
subgraph, and supported operators outside it stay on the CPU too. Facts are in ``edgetpu.yaml``, with their sources.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from edgekit.devices.limits.view import View
from edgekit.devices.placement import Cause, Placed, Placement, Violation
from edgekit.devices.profile import Profile
from edgekit.devices.refusals import find_refusal
from edgekit.devices.rules import rules
from edgekit.devices.rules.edgetpu_limits import RULES, Subject, show, sizes, take_subject
from edgekit.devices.rules.edgetpu_memory import predict_memory
from edgekit.devices.rules.edgetpu_partition import first_region
from edgekit.devices.rules.edgetpu_table import Row, Table, load_table
from edgekit.formats.tflite_versions import load_table as load_versions
from edgekit.graph import Graph, Operator, TensorInfo

#: What an operator's status is when the model does not compile and it is not to blame.
NOT_COMPILED = "Not compiled"

#: Of more classes than these, most have less than 1/100, two or three steps of 8 bits.
_FEW_CLASSES = 100
_LAYOUT_ONLY = frozenset({"TRANSPOSE"})
_FLOATS = frozenset({"float16", "float32", "float64", "bfloat16"})


@dataclass(frozen=True)
class Flag:
    """The judgement of one operator by itself: ``status`` is a key of the table's statuses (None: it is supported);
    ``cause`` what its remedies go by, and by which type or limit; ``inferred`` says why, where nothing of this compiler
    does."""

    status: str | None = None
    reason: str | None = None
    cause: tuple[str, str] | None = None
    remedies: tuple[str, ...] = ()
    inferred: str | None = None


@rules("edgetpu", judges="tflite")
def place(graph: Graph, profile: Profile) -> Placement:
    """See ``rules``. Memory is in bytes of parameters; all that the profile adds are the operators it rules out."""
    return predict(graph, profile)


def predict(graph: Graph, profile: Profile | None = None) -> Placement:
    """The placement of every operator, the subgraphs, and the parameter memory of what maps; ``profile`` may rule out
    operators besides."""
    table = load_table()
    view = View(graph)
    violations = find_violations(view, table)
    flags = [judge(view, operator, table, profile) for operator in graph.operators]
    region = frozenset() if violations else first_region(graph, [flag.status is None for flag in flags])
    placed = tuple(
        _place(graph, operator, flag, position in region, bool(violations), table)
        for position, (operator, flag) in enumerate(zip(graph.operators, flags, strict=True))
    )
    return Placement(
        source="predicted",
        operators=placed,
        subgraphs=1 if region else 0,
        transposes=sum(1 for operator in graph.operators if operator.type in _LAYOUT_ONLY),
        memory=predict_memory(graph, region),
        violations=violations,
        notes=(*_notes(graph, table), *_vanishing(view), *_doubts(graph, flags, region, table)),
    )


def judge(view: View, operator: Operator, table: Table, profile: Profile | None = None) -> Flag:
    """Whether an operator is supported, whatever stands before it."""
    ruled_out = None if profile is None else find_refusal(profile, view.graph, operator)
    if ruled_out is not None:
        flag = Flag("operator", ruled_out, ("operator", operator.type))
    else:
        flag = _judge(take_subject(view.graph, operator, table.chip), table)
    if flag.cause is None:
        return flag
    return replace(flag, remedies=table.remedies_for(*flag.cause, view, operator))


def _judge(subject: Subject, table: Table) -> Flag:
    """In the compiler's order."""
    operator, row = subject.operator, table.rows.get(subject.operator.type)
    for check in (_check_rank, _check_data_type):
        flag = check(subject, row, table)
        if flag is not None:
            return flag
    if row is None:
        cause = "newer_operator" if operator.type in table.newer else "operator"
        doubt = table.doubt(operator.type)
        return Flag("operator", f"{operator.type} does not map", (cause, operator.type), inferred=doubt)
    if row.newest is not None and (operator.version or 1) > row.newest:
        reason = f"version {operator.version} of {operator.type} is newer than the compiler takes ({row.newest})"
        return Flag("version", reason, ("version", operator.type))
    return _check_limits(subject, row) or Flag(inferred=row.inferred)


def _check_rank(subject: Subject, row: Row | None, table: Table) -> Flag | None:
    skipped = row.weights if row is not None else ()
    inputs = [tensor for place, tensor in enumerate(subject.inputs) if place not in skipped]
    for tensor in (*inputs, *subject.outputs):
        if tensor is None:
            continue
        if any(size > 1 for size in sizes(tensor)[: -table.innermost]):
            reason = f"{show(tensor)} has more than its {table.innermost} innermost axes above 1"
            return Flag("rank", reason, ("rank", subject.operator.type))
    return None


def _check_data_type(subject: Subject, row: Row | None, table: Table) -> Flag | None:
    """8-bit integers flow in and out; of an operator that does not map anyway, the first output decides."""
    places = row.data if row is not None else None
    if places is not None:
        flowing = [subject.input(place) for place in places]
    else:
        flowing = [tensor for tensor in subject.inputs if tensor is not None and not tensor.constant]
    outputs = subject.outputs if row is not None else subject.outputs[:1]
    constants = [tensor for tensor in subject.inputs if tensor is not None and tensor.constant]
    wrong = [tensor for tensor in (*flowing, *outputs) if tensor is not None and tensor.dtype not in table.data_types]
    wrong += [tensor for tensor in constants if tensor.dtype in _FLOATS]
    if not wrong:
        return None
    reason = f"`{wrong[0].name}` is {wrong[0].dtype}, not 8-bit integers"
    quantizes = row is not None and row.float_is_limited and _is_float(subject.input(0))
    return Flag("limited" if quantizes else "data_type", reason, ("data_type", subject.operator.type))


def _check_limits(subject: Subject, row: Row) -> Flag | None:
    for limit in row.limits:
        reason = RULES[limit.rule](subject, **limit.parameters)
        if reason is not None:
            cause = ("limits", limit.rule)
            return Flag(limit.status, f"{reason} ({limit.source})", cause, inferred=limit.inferred)
    return None


def _is_float(tensor: TensorInfo | None) -> bool:
    return tensor is not None and tensor.dtype in _FLOATS


def _place(graph: Graph, operator: Operator, flag: Flag, mapped: bool, broken: bool, table: Table) -> Placed:
    cause: Cause
    others: tuple[str, ...] = ()
    if mapped:
        status, cause, reason, remedy = table.statuses["mapped"], "mapped", None, None
    elif flag.status is not None:
        status, cause, reason = table.statuses[flag.status], "rejected", flag.reason
        remedy, *rest = flag.remedies or (None,)
        others = tuple(text for text in rest if text is not None)
        if _stands_at_the_end(graph, operator):
            cause, remedy, others = "host", table.words("host"), ()
    elif broken:
        status, cause, reason, remedy = NOT_COMPILED, "downstream", "the model does not compile", None
    else:
        status, cause = table.statuses["downstream"], "downstream"
        reason, remedy = "it comes after a refused operator, or beside the only subgraph", table.words("downstream")
    return Placed(
        index=operator.index,
        type=operator.type,
        name=operator.name,
        placement="accelerator" if mapped else "cpu",
        status=status,
        cause=cause,
        reason=reason,
        remedy=remedy,
        macs=operator.macs,
        params=operator.params,
        alternatives=others,
    )


def _stands_at_the_end(graph: Graph, operator: Operator) -> bool:
    """A QUANTIZE of the model's float input, or a DEQUANTIZE to its float output: the host's by nature."""
    if not operator.inputs or not operator.outputs or min(operator.inputs[0], operator.outputs[0]) < 0:
        return False
    first, last = operator.inputs[0], operator.outputs[0]
    if operator.type == "QUANTIZE":
        return first in graph.inputs and _is_float(graph.tensors[first])
    if operator.type == "DEQUANTIZE":
        source = graph.tensors[first]
        return last in graph.outputs and not source.constant and source.dtype not in _FLOATS
    return False


def find_violations(view: View, table: Table) -> tuple[Violation, ...]:
    """What makes the compiler refuse the whole model."""
    graph = view.graph
    found = [*_unknown_operators(view, table), *_unregistered(graph, table), *_dynamic_tensors(graph, table)]
    return tuple({(violation.rule, violation.message): violation for violation in found}.values())


def _unknown_operators(view: View, table: Table) -> list[Violation]:
    found = []
    for operator in view.graph.operators:
        name = operator.type
        if name in table.newer or name.startswith("BUILTIN_"):
            words = table.failures["unknown_operator"]
            message = f"{name} (operator {operator.index}) is unknown to the compiler's TensorFlow Lite: {words}"
            first, *others = table.remedies_for("newer_operator", name, view, operator)
            source = table.sources["enumeration"]
            found.append(Violation("unknown_operator", message, first, source, tuple(others)))
        elif name.startswith("Flex") and name not in table.refused:
            message = (
                f"{name} (operator {operator.index}) is one of TensorFlow's own: {table.failures['select_operator']}"
            )
            source = "google-coral/edgetpu issue 718"
            found.append(Violation("select_operator", message, table.words("select_operator"), source))
        elif not table.parses(name):
            message = (
                f"{name} (operator {operator.index}) is a custom operator, none of the compiler's TensorFlow Lite: "
            )
            message += f"{table.failures['custom_operator']}: {name}."
            found.append(Violation("custom_operator", message, table.words("custom_operator"), table.custom.source))
    return found


def _unregistered(graph: Graph, table: Table) -> list[Violation]:
    """Operators in a version that the compiler's TensorFlow Lite does not parse, whatever the Edge TPU makes of it."""
    newest = load_versions().newest
    found = []
    for operator in graph.operators:
        version, last = operator.version or 1, newest.get(operator.type, 0)
        if version <= last or not (operator.type in table.rows or operator.type in table.refused):
            continue
        words = f"{table.failures['unregistered']} '{operator.type}' version '{version}'"
        message = f"{operator.type} (operator {operator.index}) has the version {version}, later than {last}: {words}"
        found.append(Violation("operator_version", message, table.words("unregistered"), table.sources["registered"]))
    return found


def _dynamic_tensors(graph: Graph, table: Table) -> list[Violation]:
    """Sizes that are computed, and free sizes other than the batch, which a file stores as 1."""
    source = table.sources["delegate"]
    found = []
    for operator in graph.operators:
        for place in table.dynamic_unless_constant.get(operator.type, ()):
            index = operator.inputs[place] if place < len(operator.inputs) else -1
            if index >= 0 and not graph.tensors[index].constant:
                message = f"the output of {operator.type} (operator {operator.index}) has a computed size"
                message += f": {table.failures['dynamic']}"
                found.append(Violation("dynamic_shape", message, table.words("dynamic"), source))
                break
    for index in graph.inputs:
        tensor = graph.tensors[index]
        if any(size is None for size in tensor.shape[1:]):
            message = f"the input `{tensor.name}` leaves a size free besides the batch: {table.failures['dynamic']}"
            found.append(Violation("dynamic_shape", message, table.words("dynamic"), source))
    return found


def _vanishing(view: View) -> Iterator[str]:
    """A note for each final softmax over many classes: as 8-bit integers probabilities have the scale 1/256, which
    TensorFlow Lite prescribes (the 8-bit quantization specification)."""
    for operator in view.graph.operators:
        data, made = view.input(operator, 0), view.output(operator, 0)
        if operator.type != "SOFTMAX" or data is None or made is None or operator.index not in view.softmax_tail:
            continue
        classes = sizes(data)[-1] if data.shape else 0
        if classes > _FEW_CLASSES and made.dtype in ("int8", "uint8"):
            yield (
                f"SOFTMAX (operator {operator.index}) spreads over {classes:,} classes, and in 8 bits it counts in "
                "steps of 1/256: most of them become 0; the step onnx_cut_tail:softmax_over=0 leaves it to the host"
            )


def _notes(graph: Graph, table: Table) -> tuple[str, ...]:
    notes = ["whether the activations fit on the chip, and what is left there for parameters, only the compiler knows"]
    if any(graph.tensors[index].shape[:1] == (None,) for index in graph.inputs):
        notes.append("the free batch is taken as 1, as the file stores it")
    types = {operator.type for operator in graph.operators}
    notes += [f"{name}: {text}" for name, text in table.custom.told.items() if name in types]
    return tuple(notes)


def _doubts(graph: Graph, flags: list[Flag], region: frozenset[int], table: Table) -> list[str]:
    """How sure it is: operators whose place follows from nothing that this compiler was seen to do."""
    judged = zip(graph.operators, flags, strict=True)
    inferred = sorted({(operator.type, flag.inferred) for operator, flag in judged if flag.inferred})
    notes = [f"{type_}: its place is inferred, not known ({why})" for type_, why in inferred]
    mapped = {graph.operators[place].type for place in region}
    unseen = sorted(type_ for type_ in mapped if not (table.rows[type_].seen or table.rows[type_].inferred))
    if unseen:
        notes.append(f"documented as mapped, though no file or log at hand shows it: {', '.join(unseen)}")
    return notes
