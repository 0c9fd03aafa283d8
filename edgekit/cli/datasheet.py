"""A target profile as a datasheet: what is known, group by group, with numbered sources at the end."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgekit.devices import Fact, Profile
    from edgekit.devices.latency import Rates
    from edgekit.devices.profile import Figure, Route

#: Columns where standard output is no terminal, and the fewest and most that are used.
WIDTH, NARROWEST, WIDEST = 100, 60, 120

#: Keeps a footnote on the line of the last word that it is for.
_NO_BREAK = "\N{NO-BREAK SPACE}"

#: Groups of facts: (heading, the profile's part, {its field: what it is called}).
GROUPS: tuple[tuple[str, str, dict[str, str]], ...] = (
    (
        "Hardware",
        "hardware",
        {
            "accelerator": "accelerator",
            "cpu": "CPU",
            "compute_capability": "compute capability",
            "dla_cores": "DLA cores",
            "fp16": "computes in FP16",
            "int8": "computes in INT8",
            "rate": "rate",
            "power": "power",
        },
    ),
    (
        "Memory (bytes)",
        "memory",
        {
            "total_bytes": "device",
            "usable_bytes": "for a model",
            "parameter_bytes": "on chip, for parameters",
            "activation_bytes": "for activations",
        },
    ),
    (
        "Shapes",
        "shapes",
        {
            "static": "fixed sizes only",
            "max_rank": "axes at most",
            "max_batch": "batch at most",
            "layout": "layout",
            "rule": "rule",
        },
    ),
    ("ONNX opset", "opset", {"min": "oldest", "max": "newest"}),
    (
        "Scales of quantization",
        "granularity",
        {"weights": "weights", "fully_connected": "fully connected", "activations": "activations"},
    ),
    ("Operators", "operators", {"level": "level", "supported": "supported", "refused": "refused"}),
    ("Software", "toolchain", {"compiler": "compiler", "runtime": "runtime", "host": "host"}),
)


@dataclass
class _Sources:
    """The footnotes, in the order of their first use; equal ones share a number."""

    texts: list[str] = field(default_factory=list)

    def mark(self, fact: Fact[Any]) -> str:
        text = f"{fact.source}" if fact.known else f"not known; searched: {fact.unknown}"
        if text not in self.texts:
            self.texts.append(text)
        return f"[{self.texts.index(text) + 1}]"


def datasheet(profile: Profile, width: int | None = None) -> str:
    """All that a profile says. A value that is not known says so, and its footnote what was searched."""
    width = width or min(max(shutil.get_terminal_size((WIDTH, 24)).columns, NARROWEST), WIDEST)
    sources = _Sources()
    parts = [f"{profile.title}\n{profile.name}, of the family {profile.family}"]
    parts.append(_section("Files", [("loads", *_told(profile.formats, sources))], width))
    parts.append(_precisions(profile, sources, width))
    parts.append(_section("Routes", [(name, _route(steps)) for name, steps in profile.routes.items()], width))
    for heading, part, names in GROUPS:
        facts = getattr(profile, part)
        say = _bytes if part == "memory" else text_of
        known = [(shown, getattr(facts, name)) for name, shown in names.items()]
        rows = [(shown, *_told(fact, sources, say)) for shown, fact in known if fact]
        if part == "operators" and facts.rules:
            alone = " (there is no accelerator)" if facts.rules == "cpu" else ""
            rows.insert(0, ("judged by", f"edgekit's rule set {facts.rules}{alone}"))
        if part == "toolchain" and facts.needs:
            rows.insert(0, ("edgekit needs", ", ".join(facts.needs)))
        if rows:
            parts.append(_section(heading, rows, width))
    parts += _handover(profile, sources, width) + _figures(profile, sources, width) + _estimates(profile, width)
    parts.append(_footnotes(sources, width))
    return "\n\n".join(parts)


def text_of(value: Any) -> str:
    """A value in words: ``yes``, ``a, b``, ``8,388,608``."""
    if isinstance(value, list | tuple):
        return ", ".join(text_of(item) for item in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _bytes(value: int) -> str:
    """``4,294,967,296 (4 GiB)``, where it comes to a round number of those."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20)):
        if value % size == 0:
            return f"{value:,} ({value // size} {unit})"
    return f"{value:,}"


def _told(fact: Fact[Any], sources: _Sources, say: Callable[[Any], str] = text_of) -> list[str]:
    """The value with its footnote, and its note."""
    said = say(fact.value) if fact.known else "not known"
    return [f"{said}{_NO_BREAK}{sources.mark(fact)}", *([fact.note] if fact.note else [])]


def _section(heading: str, rows: Sequence[Sequence[str]], width: int) -> str:
    """A heading over ``name  value`` rows; the value's further texts stand below it, each wrapped."""
    column = max(len(row[0]) for row in rows) + 4
    lines = [heading]
    for name, *texts in rows:
        wrapped = [line for text in texts for line in _wrap(text, width - column)]
        lines.append(f"  {name.ljust(column - 4)}  {wrapped[0]}")
        lines.extend(" " * column + line for line in wrapped[1:])
    return "\n".join(lines)


def _wrap(text: str, width: int) -> list[str]:
    lines = textwrap.wrap(text, max(width, 20), break_long_words=False, break_on_hyphens=False)
    return [line.replace(_NO_BREAK, " ") for line in lines] or [""]


def _precisions(profile: Profile, sources: _Sources, width: int) -> str:
    rows: list[Sequence[str]] = []
    for name, precision in profile.precisions.items():
        default = " (default)" if name == profile.default_precision else ""
        parts: dict[str, Fact[Any]] = {
            "weights": precision.weights,
            "activations": precision.activations,
            "inputs and outputs": precision.io,
        }
        rows.append((name + default, *(f"{part}: {'; '.join(_told(fact, sources))}" for part, fact in parts.items())))
    for name, fact in profile.excluded.items():
        rows.append((f"no {name}", *_told(fact, sources)))
    return _section("Precisions", rows, width)


def _route(steps: Iterable[Route]) -> str:
    return " -> ".join(
        f"{use.step} {{{', '.join(f'{key}: {_option(value)}' for key, value in use.options.items())}}}"
        if use.options
        else use.step
        for use in steps
    )


def _option(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _handover(profile: Profile, sources: _Sources, width: int) -> list[str]:
    if not profile.handover:
        return []
    lines = ["What edgekit does not do itself"]
    for step in profile.handover:
        head = f"{', '.join(step.precisions) or 'all'}: {step.title}"
        lines += ["  " + line for line in _wrap(head, width - 2)]
        if step.command is not None:
            lines.append(f"    {step.command}")  # never wrapped: it is there to be copied
        lines += ["    " + line for text in _told(step.why, sources) for line in _wrap(text, width - 4)]
    return ["\n".join(lines)]


def _figures(profile: Profile, sources: _Sources, width: int) -> list[str]:
    """What was published, under its conditions: a line of those, and one for each model below it."""
    if not profile.reference:
        return []
    groups: dict[str, list[Figure]] = {}
    for figure in profile.reference:
        under = f"{figure.conditions or 'conditions not told'}{_NO_BREAK}{sources.mark(figure.result)}"
        groups.setdefault(under, []).append(figure)
    model = max(len(figure.model) for figure in profile.reference)
    metric = max(len(figure.metric) for figure in profile.reference)
    lines = ["Published figures"]
    for under, figures in groups.items():
        lines += ["  " + line for line in _wrap(under, width - 2)]
        lines += [f"    {one.model.ljust(model)}  {one.metric.ljust(metric)}  {_result(one)}" for one in figures]
    return ["\n".join(lines)]


def _estimates(profile: Profile, width: int) -> list[str]:
    """What the estimates of `check` rest on, by precision, and how far off they were."""
    from edgekit.devices.latency import load_rates

    rows = [
        (
            precision,
            f"fitted on {rates.models} published models ({rates.conditions})",
            f"each estimated from the others: {_errors(rates)}",
        )
        for precision, rates in load_rates().get(profile.name, {}).items()
    ]
    return [_section("Latency estimates", rows, width)] if rows else []


def _errors(rates: Rates) -> str:
    """Of few models the table has the worst error alone: a median of them says little."""
    worst = f"worst {100 * rates.worst_error:.0f} %"
    if rates.typical_error == rates.worst_error:
        return f"of {rates.models} models, {worst}"
    return f"typical error {100 * rates.typical_error:.0f} %, {worst}"


def _result(figure: Figure) -> str:
    return "not known" if figure.result.value is None else f"{figure.result.value:,.10g} {figure.unit}"


def _footnotes(sources: _Sources, width: int) -> str:
    column = len(f"[{len(sources.texts)}]") + 3
    lines = ["Sources"]
    for index, text in enumerate(sources.texts, start=1):
        first, *rest = _wrap(text, width - column)
        lines.append(f"  {f'[{index}]'.ljust(column - 3)} {first}")
        lines.extend(" " * column + line for line in rest)
    return "\n".join(lines)
