"""What a target profile may say: the facts about one device, each with its source or marked as unknown."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import Field, ValidationInfo, field_validator, model_validator

from edgekit.registry import did_you_mean
from edgekit.validation import Written

Value = TypeVar("Value")

#: Bytes, axes, samples, numbers of an opset: none of them is 0 or less.
Size = Annotated[int, Field(gt=0)]


#: A source has at least a word: the title of a document, or an address.
_WORD = re.compile(r"[^\W\d_]{3}")
#: What stands where a source was not written.
_NO_PLACE = frozenset(
    {"todo", "tbd", "fixme", "none", "null", "unknown", "not known", "missing", "source", "various", "internet", "web"}
    | {"the internet", "the web", "google", "general", "guess", "me", "myself", "n/a", "see above"}
)
#: What is still to be written, or stands for no place, whatever is said around it.
_STILL_OPEN = re.compile(
    r"\b(TODO|TBD|TBA|FIXME|XXX)\b|\b(?i:todo:|fixme:|to be (?:determined|found|added|filled in|looked up)"
    r"|(?:common|general|everyday|own) knowledge|everybody knows|everyone knows|(?:well|widely) known)"
)


class Fact(Written, Generic[Value]):
    """``{value, source}``, or ``{unknown: what was searched}``. ``note`` may add a condition."""

    value: Value | None = None
    source: str | None = Field(None, min_length=1)
    unknown: str | None = Field(None, min_length=1)
    note: str | None = None

    @field_validator("source", "unknown")
    @classmethod
    def _says_something(cls, text: str | None, info: ValidationInfo) -> str | None:
        if text is None:
            return None
        if not text.strip():
            raise ValueError(f"`{info.field_name}` is blank")
        if not _WORD.search(text) or text.strip().rstrip(".!").lower() in _NO_PLACE or _STILL_OPEN.search(text):
            raise ValueError(
                f"`{info.field_name}` names no page, document or measurement: `{text.strip()}`; write where it is said"
            )
        return text

    @model_validator(mode="after")
    def _one_form(self) -> Fact[Value]:
        if self.unknown is not None:
            if self.value is not None or self.source is not None:
                raise ValueError("a fact is either {value, source} or {unknown: what was searched}, not both")
        elif self.value is None:
            raise ValueError("a fact is {value, source}, or {unknown: what was searched}")
        elif self.source is None:
            raise ValueError("a fact needs its `source` beside `value`")
        return self

    @property
    def known(self) -> bool:
        return self.unknown is None


class Precision(Written):
    """The types of one precision: of the stored weights, of what flows between operators, of inputs and outputs."""

    weights: Fact[str]
    activations: Fact[str]
    io: Fact[list[str]]


Spread = Literal["per_tensor", "per_channel"]


class Granularity(Written):
    """How finely scales may be set, by what they are of."""

    weights: Fact[list[Spread]] | None = None
    fully_connected: Fact[list[Spread]] | None = None
    activations: Fact[list[Spread]] | None = None


class Hardware(Written):
    """What computes, in the maker's words. ``compute_capability`` is that of an NVIDIA GPU, ``dla_cores`` the number of
    its fixed-function accelerators, ``int8`` whether whole networks can be had in 8-bit integers."""

    accelerator: Fact[str] | None = None
    cpu: Fact[str] | None = None
    compute_capability: Fact[str] | None = None
    dla_cores: Fact[int] | None = None
    int8: Fact[bool] | None = None
    fp16: Fact[bool] | None = None
    rate: Fact[str] | None = None
    power: Fact[str] | None = None


class Opset(Written):
    """The ONNX opsets that the device's software reads."""

    min: Fact[Size] | None = None
    max: Fact[Size] | None = None


class Shapes(Written):
    """What tensors may look like. ``max_rank`` counts axes, ``max_batch`` is the first of them."""

    static: Fact[bool] | None = None
    max_rank: Fact[Size] | None = None
    max_batch: Fact[Size] | None = None
    layout: Fact[str] | None = None
    rule: Fact[str] | None = None


class Memory(Written):
    """Bytes: of the device, of its fast store for parameters, of what a model may use."""

    total_bytes: Fact[Size] | None = None
    parameter_bytes: Fact[Size] | None = None
    activation_bytes: Fact[Size] | None = None
    usable_bytes: Fact[Size] | None = None


#: How ONNX (and OpenVINO) and TensorFlow Lite write their operators; names of other forms are those of custom ones.
_OWN_NAME = re.compile(r"[A-Z][A-Za-z0-9]*|[A-Z][A-Z0-9_]*")


@cache
def _operators() -> frozenset[str]:
    """The operators of ONNX, of TensorFlow Lite and of OpenVINO, and custom ones that are known."""
    from ruamel.yaml import YAML

    folder = Path(__file__).parent
    stored = YAML(typ="safe", pure=True).load(folder / "operators.yaml")
    openvino = YAML(typ="safe", pure=True).load(folder / "rules" / "openvino.yaml")
    return frozenset(name for names in stored.values() for name in names) | frozenset(openvino["operators"])


def _spelt_like(name: str) -> list[str]:
    """The operators in capitals, or the others."""
    return sorted(other for other in _operators() if other.isupper() == name.isupper())


class Operators(Written):
    """``rules`` names edgekit's rule set for this device (none: every operator of the format is taken to be known).
    ``level`` is the release of the format whose operators and versions the device reads. ``refused`` operators the
    device does not take, nor any that are not ``supported`` where those are listed, whatever the rule set says."""

    rules: str | None = None
    level: Fact[str] | None = None
    supported: Fact[list[str]] | None = None
    refused: Fact[list[str]] | None = None

    @field_validator("supported", "refused")
    @classmethod
    def _operators_exist(cls, fact: Fact[list[str]] | None) -> Fact[list[str]] | None:
        named = [name for name in (fact and fact.value) or () if _OWN_NAME.fullmatch(name)]
        strange = [name for name in named if name not in _operators()]
        if strange:
            told = (f"no operator is called `{name}`{did_you_mean(name, _spelt_like(name))}" for name in strange)
            raise ValueError("; ".join(told))
        return fact


class Toolchain(Written):
    """What makes and runs the device's files. ``needs`` names edgekit's own toolchains; the others are the device's."""

    needs: list[str] = Field(default_factory=list)
    compiler: Fact[str] | None = None
    runtime: Fact[str] | None = None
    host: Fact[str] | None = None


class Figure(Written):
    """A published figure: of which model, what, under which conditions."""

    model: str
    metric: str
    unit: str
    conditions: str | None = None
    result: Fact[float]


class Handover(Written):
    """A step that is done elsewhere or only on request: shown with its command, never run by itself. ``precisions``
    are those it is for (none named: all); MODEL in the command stands for the file without its suffix. ``step`` is
    edgekit's own step that does it, if there is one and the recipe says `compile: true`."""

    title: str
    precisions: list[str] = Field(default_factory=list)
    command: str | None = None
    step: str | None = None
    why: Fact[str]


class Route(Written):
    """One use of a step in a route, with the options that the profile sets."""

    step: str
    options: dict[str, Any] = Field(default_factory=dict)


_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


class Profile(Written):
    """A target: what can be made for it, what it loads and runs. The first route is the default precision."""

    name: str
    title: str
    family: str
    formats: Fact[list[str]]
    precisions: dict[str, Precision]
    routes: dict[str, list[Route]]
    excluded: dict[str, Fact[str]] = Field(default_factory=dict)
    hardware: Hardware = Field(default_factory=Hardware)
    granularity: Granularity = Field(default_factory=Granularity)
    opset: Opset = Field(default_factory=Opset)
    shapes: Shapes = Field(default_factory=Shapes)
    memory: Memory = Field(default_factory=Memory)
    operators: Operators = Field(default_factory=Operators)
    toolchain: Toolchain = Field(default_factory=Toolchain)
    reference: list[Figure] = Field(default_factory=list)
    handover: list[Handover] = Field(default_factory=list)

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(f"`name` is small letters, digits, `.`, `_` and `-`, not `{name}`")
        return name

    @field_validator("routes")
    @classmethod
    def _some_route(cls, routes: dict[str, list[Route]]) -> dict[str, list[Route]]:
        if not routes or not all(routes.values()):
            raise ValueError("`routes` needs at least one precision, and each of them a list of steps")
        return routes

    @model_validator(mode="after")
    def _routes_are_listed(self) -> Profile:
        unlisted = [precision for precision in self.routes if precision not in self.precisions]
        if unlisted:
            raise ValueError(f"`routes` has {', '.join(unlisted)}, which `precisions` does not describe")
        both = [precision for precision in self.excluded if precision in self.precisions]
        if both:
            raise ValueError(f"`excluded` and `precisions` both have {', '.join(both)}")
        named = {precision for handover in self.handover for precision in handover.precisions}
        if named - set(self.precisions):
            raise ValueError(
                f"`handover` is for {', '.join(sorted(named - set(self.precisions)))}, which `precisions` lacks"
            )
        return self

    def compile_step(self, precision: str) -> str | None:
        """The step that a recipe gets with ``compile: true`` at that precision; None where edgekit has none."""
        return next((one.step for one in self.handovers(precision) if one.step is not None), None)

    def handovers(self, precision: str) -> list[Handover]:
        """What is to be done elsewhere with a file of that precision."""
        return [one for one in self.handover if not one.precisions or precision in one.precisions]

    @property
    def default_precision(self) -> str:
        """The precision of the first route."""
        return next(iter(self.routes))
