"""What `edgekit check` says: the document ``edgekit.check/1``, and the same for a reader."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from edgekit.cli.terminal import pairs, shown_path, table

if TYPE_CHECKING:
    from edgekit.cli.check import Checked
    from edgekit.devices.judge import Need
    from edgekit.devices.placement import Placed, Placement, Violation

PLACES = {"accelerator": "accelerator", "cpu": "CPU", "unsupported": "nowhere", "not_known": "not known"}
MEMORY = {
    "parameter_bytes": "parameters",
    "activation_bytes": "activations",
    "usable_bytes": "usable memory",
    "total_bytes": "memory",
}
#: How many operators are named where many stand for the same.
NAMED = 4
#: The longest name of a tensor that is shown whole.
LONGEST_NAME = 48
#: An operator's place as a violation's message tells it.
_OPERATOR = re.compile(r"\(operator (\d+)\)")


def check_document(checked: Checked) -> dict[str, Any]:
    """The document ``edgekit.check/1``."""
    placement = checked.judgement.placement
    return {
        "schema": "edgekit.check/1",
        "model": checked.model,
        "target": checked.profile.name,
        "precision": checked.precision,
        "judged": {
            "path": str(checked.path),
            "format": checked.format,
            "assumed_quantized": checked.judgement.assumed_quantized,
        },
        "source": placement.source,
        "compiler": None if checked.asked is None else checked.asked.to_dict(),
        "operators": [_operator(placed) for placed in placement.operators],
        "totals": placement.totals(),
        "memory": checked.judgement.memory_dict(),
        "latency_estimate": None if checked.latency is None else checked.latency.to_dict(),
        "subgraphs": placement.subgraphs,
        "transposes": placement.transposes,
        "violations": [_violation(violation) for violation in placement.violations],
        "verdict": placement.verdict(),
        "steps": list(checked.way.steps),
        "unchanged": list(checked.way.unchanged),
        "tail": None if checked.tail is None else str(checked.tail),
        "next": checked.further.command,
        "idle": list(checked.further.idle),
        "failed": dict(checked.further.failed),
        "gates": [verdict.to_dict() for verdict in checked.verdicts],
        "notes": list(placement.notes),
        "exit_code": checked.exit_code,
    }


def check_text(checked: Checked) -> str:
    """The same for a reader; the line of the verdict is for grep, and the last one for the reader's shell."""
    operators = checked.judgement.placement.operators
    listed = checked.judgement.placement.listed
    parts = [
        f"{checked.model} on {checked.profile.name}/{checked.precision} ({checked.profile.title})",
        pairs(_facts(checked), indent="  "),
        _table(operators),
        _reasons("rejected", "rejected, for a reason of their own" if listed else "left to the CPU", operators),
        _reasons("downstream", "not there only because of others", operators),
        "" if checked.judgement.placement.cpu_only else _reasons("host", "the CPU's part by nature", operators),
        _reasons("unknown", "not known", operators),
        _violations(checked.judgement.placement.violations),
        "\n".join(f"note: {note}" for note in checked.judgement.placement.notes),
        _said(checked),
        "\n".join(line for line in (_last_line(checked), _next(checked)) if line),
    ]
    return "\n\n".join(part for part in parts if part)


def _next(checked: Checked) -> str:
    further, lines = checked.further, []
    if further.idle:
        listed, one = ", ".join(further.idle), len(further.idle) == 1
        lines.append(f"tried here: {listed} find{'s' * one} nothing to rewrite in this model")
    lines += [f"tried here: {step} failed: {reason}" for step, reason in further.failed.items()]
    if further.command:
        batch = any(violation.rule == "batch" for violation in checked.judgement.placement.violations)
        how = "one at a time" if batch else "with the steps that its remedies name"
        lines.append(f"next, {how}: {further.command}")
    return "\n".join(lines)


def _said(checked: Checked) -> str:
    """What the device's compiler printed, where it was not understood."""
    asked = checked.asked
    if asked is None or asked.answered or asked.output is None:
        return ""
    return "\n".join([f"{asked.name} said:", *(f"  | {line}" for line in asked.said)])


def _operator(placed: Placed) -> dict[str, Any]:
    return {
        "index": placed.index,
        "type": placed.type,
        "name": placed.name,
        "placement": placed.placement,
        "status": placed.status,
        "cause": placed.cause,
        "reason": placed.reason,
        "remedy": placed.remedy,
        "macs": placed.macs,
        "params": placed.params,
    }


def _violation(violation: Violation) -> dict[str, Any]:
    return {
        "rule": violation.rule,
        "message": violation.message,
        "remedy": violation.remedy,
        "source": violation.source,
    }


def _facts(checked: Checked) -> list[tuple[str, str]]:
    judgement, placement = checked.judgement, checked.judgement.placement
    totals = placement.totals()
    as_if = ", as if quantized to 8-bit integers" if judgement.assumed_quantized else ""
    told = _source_text(checked)
    if not placement.listed:
        told = "the file itself, as the device's compiler made it"
    if checked.profile.operators.rules is None:
        told = "none: edgekit has no rules for this device"
    rows = [("judged", f"{shown_path(checked.path)} ({checked.format}{as_if})"), ("source", told)]
    if checked.way.steps:
        rows.insert(1, ("steps", ", ".join(_step(name, checked) for name in checked.way.steps)))
    if checked.tail is not None:
        rows.append(("tail", f"{shown_path(checked.tail)}, which the host runs after it"))
    if not placement.listed:
        inside = _count(placement.subgraphs or 0, "compiled operator")
        rows.append(("accelerator", f"{inside}, in which the file does not list what was mapped"))
    elif placement.cpu_only:
        rows += [("accelerator", "none"), ("CPU", _all_on_cpu(placement))]
    elif checked.profile.operators.rules is not None or totals["accelerator"] is None:
        rows.append(("accelerator", _mapped(placement)))
    if not placement.cpu_only:
        rows.append(("subgraphs", "not known" if placement.subgraphs is None else str(placement.subgraphs)))
    if placement.transposes:
        count = placement.transposes
        rows.append(("transposes", f"{_count(count, 'operator')} that only reorder{'s' * (count == 1)} numbers"))
    rows += [(MEMORY[need.name], _need(need)) for need in judgement.memory if not need.required or need.has is not None]
    compiled = _compiled_memory(placement)
    if compiled:
        rows.append(("as compiled", compiled))
    if checked.latency is not None:
        rows.append(("latency", f"{checked.latency.text}; {checked.latency.conditions}"))
    return rows


def _mapped(placement: Placement) -> str:
    """``64 of 66 operators (97.0 %), 99.0 % of MACs, 98.0 % of parameters``; where it is not known of some operators,
    the least that it comes to, if that is anything at all."""
    from edgekit.report import figures

    totals, least = placement.totals(), placement.shares()
    mapped = sum(placed.placement == "accelerator" for placed in placement.operators)
    unknown, count = totals["not_known"], totals["operators"]
    if unknown and not mapped:
        others = f" of {unknown} of {_count(count, 'operator')}; none of the others is there"
        return "not known" + others * (unknown != count)
    words = {"mapped_macs": "MACs", "mapped_params": "parameters"}
    told = [f"{'at least ' if unknown else ''}{mapped} of {count} operators"]
    if least["mapped_operators"] is not None:
        told[0] += f" ({figures.share(least['mapped_operators'])})"
    for name, word in words.items():
        share = least[name]
        if share is not None:
            told.append(f"{'at least ' if totals[name] is None else ''}{figures.share(share)} of {word}")
    return ", ".join(told) + (f"; where {_count(unknown, 'operator')} would run is not known" if unknown else "")


def _step(name: str, checked: Checked) -> str:
    return f"{name} (changed nothing)" if name in checked.way.unchanged else name


def _source_text(checked: Checked) -> str:
    if checked.judgement.placement.source == "predicted":
        return "predicted by edgekit's rules"
    asked = checked.asked
    if asked is None:
        return "told by the device's compiler"
    return f"told by the device's compiler, {asked.name}" + (f" {asked.version}" if asked.version else "")


def _all_on_cpu(placement: Placement) -> str:
    """``64 of 66 operators, 385,000,000 (385.0 million) MACs, ...``: what a device runs that has
    nothing but a CPU."""
    from edgekit.cli.inspect import count_text

    runs = [placed for placed in placement.operators if placed.placement == "cpu"]
    macs, params = sum(placed.macs for placed in runs), sum(placed.params for placed in runs)
    told = f"{len(runs)} of {_count(len(placement.operators), 'operator')}"
    return f"{told}, {count_text(macs)} MACs, {count_text(params)} parameters"


def _compiled_memory(placement: Placement) -> str:
    """``about 3.19 MB of parameters, 3.19 MB kept on the chip, 0 B fetched for every inference``: what the device's
    compiler makes of them; empty where nothing is known of it, or nothing is mapped."""
    from edgekit.report import figures

    words = (
        ("parameter_bytes", "of parameters"),
        ("cached_parameter_bytes", "kept on the chip"),
        ("streamed_parameter_bytes", "fetched for every inference"),
    )
    known = [(count, told) for name, told in words if (count := placement.memory.get(name)) is not None]
    if not any(count for count, _ in known):
        return ""
    about = "about " if placement.source == "predicted" else ""
    return about + ", ".join(f"{figures.size(count)} {told}" for count, told in known)


def _need(need: Need) -> str:
    from edgekit.report import figures

    counted = f" as {need.counted_as}" if need.counted_as else ""
    needs = "need is not known" if need.needs is None else figures.size(need.needs) + counted
    if need.has is None:
        return f"{needs}; how much the device has is not known" if need.searched else needs
    if need.exceeds:
        more = f"{needs}; more than the device's {figures.size(need.has)}"
        return f"{more}: what is beyond is fetched for every inference" if need.name == "parameter_bytes" else more
    return f"{needs}; the device has at most {figures.size(need.has)}"


def _table(operators: Sequence[Placed]) -> str:
    if not operators:
        return "no operators"
    groups = Counter((placed.type, PLACES[placed.placement], placed.status) for placed in operators)
    most = Counter(placed.type for placed in operators)
    rows = sorted(groups.items(), key=lambda item: (-most[item[0][0]], item[0][0], item[0][1]))
    return table(
        ("operator", "count", "where", "status"),
        [(type_, str(count), place, status) for (type_, place, status), count in rows],
    )


def _reasons(cause: str, title: str, operators: Iterable[Placed]) -> str:
    """Operators that stand where they do for one cause: each reason once, with whom it concerns and what to do. Reasons
    that differ in names and sizes alone are told by the first of them."""
    groups: dict[tuple[str, str | None], list[Placed]] = {}
    for placed in operators:
        if placed.cause == cause:
            groups.setdefault((_without_details(placed.reason or ""), placed.remedy), []).append(placed)
    if not groups:
        return ""
    lines = [f"{title}:"]
    for members in groups.values():
        types = Counter(placed.type for placed in members)
        who = ", ".join(type_ if count == 1 else f"{count} {type_}" for type_, count in types.most_common())
        lines.append(f"  {who} ({_places(members)})")
        reason, alike = members[0].reason, len({placed.reason for placed in members}) > 1
        if reason:
            lines.append(f"    why: {'the first: ' if alike else ''}{_shorten_names(reason)}")
        if members[0].remedy:
            lines.append(f"    do: {members[0].remedy}")
    return "\n".join(lines)


def _without_details(reason: str) -> str:
    """A reason without the names, sizes and numbers in it."""
    return re.sub(r"`[^`]*`|\[[^\]]*\]|\S*[/:;_]\S*|\S+\.\S+|\d+", "_", reason)


def _shorten_names(text: str) -> str:
    """Quoted names that a converter joined from many are cut in the middle."""

    def shorten(found: re.Match[str]) -> str:
        name = found[1]
        return f"`{name if len(name) <= LONGEST_NAME else name[:20] + '...' + name[-20:]}`"

    return re.sub(r"`([^`]*)`", shorten, text)


def _places(members: Sequence[Placed]) -> str:
    return _name_places([placed.index for placed in members])


def _name_places(indices: Sequence[int]) -> str:
    """``operator 7``, ``operators 7, 12, 19, 24 and 20 more``."""
    named = ", ".join(str(index) for index in indices[:NAMED])
    if len(indices) == 1:
        return f"operator {named}"
    return f"operators {named}" if len(indices) <= NAMED else f"operators {named} and {len(indices) - NAMED} more"


def _violations(violations: Sequence[Violation]) -> str:
    """Each once; those that differ in the operator alone are one, with all of their places."""
    if not violations:
        return ""
    lines = ["violations:"]
    for first, places in _kinds(violations):
        lines.append(f"  {first.rule}: {_OPERATOR.sub(f'({_name_places(places)})', first.message)}")
        lines += [f"    do: {first.remedy}"] if first.remedy else []
        lines += [f"    source: {first.source}"] if first.source else []
    return "\n".join(lines)


def _kinds(violations: Sequence[Violation]) -> list[tuple[Violation, list[int]]]:
    """(The first of those that differ in the operator alone, the places of the operators that they tell)."""
    groups: dict[tuple[str | None, ...], list[Violation]] = {}
    for violation in violations:
        alike = (violation.rule, _OPERATOR.sub("", violation.message), violation.remedy, violation.source)
        groups.setdefault(alike, []).append(violation)
    return [
        (members[0], [int(number) for member in members for number in _OPERATOR.findall(member.message)])
        for members in groups.values()
    ]


def _count_violations(violations: Sequence[Violation]) -> list[str]:
    """``2 kinds of violation on 41 operators``, and apart from them those of the model as a whole."""
    kinds = _kinds(violations)
    at_operators = [places for _, places in kinds if places]
    whole = len(kinds) - len(at_operators)
    told = []
    if at_operators:
        operators = len({place for places in at_operators for place in places})
        many = len(at_operators)
        kind = "1 kind of violation" if many == 1 else f"{many} kinds of violation"
        told.append(f"{kind} on {_count(operators, 'operator')}")
    if whole:
        told.append(f"{_count(whole, 'violation')} by the model as a whole")
    return told


def _last_line(checked: Checked) -> str:
    from edgekit.report import figures

    parts = [f"{checked.judgement.placement.verdict()}: {_verdict_text(checked)}"]
    for verdict in checked.verdicts:
        value = "not known" if verdict.value is None else figures.share(verdict.value)
        result = verdict.result.replace("_", " ")
        parts.append(f"{verdict.gate} {value}, limit {figures.share(verdict.limit)}: {result}")
    if checked.strict and (unsettled := checked.judgement.unsettled()):
        parts.append(f"whether the {' and the '.join(MEMORY[need.name] for need in unsettled)} fit is not known")
    parts.append(f"exit {checked.exit_code}")
    return "; ".join(parts)


def _verdict_text(checked: Checked) -> str:
    placement = checked.judgement.placement
    totals, verdict = placement.totals(), placement.verdict()
    if verdict == "not_known":
        unknown = sum(placed.cause == "unknown" for placed in placement.operators)
        if placement.cpu_only:
            return f"nothing says whether the CPU runs {unknown} of {totals['operators']} operators"
        return f"nothing says where {unknown} of {totals['operators']} operators run"
    if verdict == "violates":
        nowhere = sum(placed.placement == "unsupported" for placed in placement.operators)
        found = [f"{nowhere} of {_count(totals['operators'], 'operator')} unsupported"] if nowhere else []
        return f"the device does not run it: {', '.join([*found, *_count_violations(placement.violations)])}"
    if verdict == "fits" and placement.cpu_only:
        return f"all of it runs on the CPU ({_count(len(placement.operators), 'operator')}); there is no accelerator"
    if verdict == "fits":
        host = sum(placed.cause == "host" for placed in placement.operators)
        aside = f", {_count(host, 'operator')} at its ends aside" if host else ""
        beyond = any(need.name == "parameter_bytes" and need.exceeds for need in checked.judgement.memory)
        return "all of it runs on the accelerator" + aside + ", which does not keep all of its parameters" * beyond
    if not placement.listed:
        left = _count(sum(placed.placement == "cpu" for placed in placement.operators), "operator")
        return f"the compiler left {left} to the CPU, and put all else on the accelerator"
    return f"{totals['accelerator']} of {totals['operators']} operators run on the accelerator, the others on the CPU"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' * (number != 1)}"
