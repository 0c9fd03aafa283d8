"""onnx -> onnx: activations that few accelerators have, written with arithmetic that all of them have."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field

from edgekit.steps import StepOptions
from edgekit.steps.convert.onnx_rewriting import Rule, Scope, attribute_of, count_notes, replace_nodes, rewriting_step

Choice = Literal["exact", "keep"]


class Options(StepOptions):
    hard_swish: Choice = Field(
        "exact",
        description="exact: x * relu6(x + 3) / 6, for HardSigmoid likewise (with another slope, and for Clip from 0 to "
        "1, max(min(a * x + b, 1), 0)); or keep",
    )
    silu: Choice = Field("exact", description="exact: the operator Swish as x * sigmoid(a * x); or keep")
    leaky_relu: Choice = Field("exact", description="exact: max(x, a * x) (min where the slope is above 1); or keep")
    prelu: Choice = Field(
        "keep",
        description="exact: max(x, a * x) where no slope is above 1, else max(x, 0) + a * min(x, 0), for where PReLU "
        "itself is refused; or keep",
    )
    abs: Choice = Field("exact", description="exact: max(x, -x); or keep")
    gelu: Choice = Field(
        "exact",
        description="exact: the operator Gelu of the tanh kind as x * sigmoid(2 * z); the erf kind always stays "
        "(onnx_approximate_activations replaces it); or keep",
    )


@rewriting_step("onnx_replace_activations", version=5, options=Options, exact=True)
def onnx_replace_activations(model: Any, options: Options) -> tuple[str, ...]:
    """Write hard-swish, SiLU, leaky ReLU, PReLU and the like as the same function in operators that map everywhere."""
    choices: tuple[tuple[Choice, dict[str, Rule]], ...] = (
        (
            options.hard_swish,
            {"HardSwish": _hard_swish, "HardSigmoid": _hard_sigmoid, "Clip": _clip_to_one, "Min": _clip_by_two},
        ),
        (options.silu, {"Swish": _swish}),
        (options.leaky_relu, {"LeakyRelu": _leaky_relu}),
        (options.prelu, {"PRelu": _prelu}),
        (options.abs, {"Abs": _abs}),
        (options.gelu, {"Gelu": _tanh_gelu}),
    )
    rules = {name: rule for choice, some in choices if choice == "exact" for name, rule in some.items()}
    replaced = replace_nodes(model, rules)
    return count_notes(replaced, "by the same function in other operators")


class Formula:
    """Nodes that compute a function of one node's input, step by step, under names derived from its output."""

    def __init__(self, node: Any, scope: Scope) -> None:
        self.node, self.scope = node, scope
        self.x, self.output = node.input[0], node.output[0]
        self.nodes: list[Any] = []
        self._turned = False

    def go_channel_last(self) -> None:
        """Compute in [N, H, W, C]. Between two convolutions a channel-last runtime then needs no transposes, with which
        its converter may surround a formula that it does not know."""
        self.x, self._turned = self._transpose(self.x, self.scope.new_name(f"{self.output}_last"), [0, 2, 3, 1]), True

    def number(self, value: float) -> str:
        return self.scope.number(value, self.node.input[0], f"{self.output}_number")

    def apply(self, operator: str, *inputs: str, last: bool = False) -> str:
        """The name of what ``operator`` makes of the inputs; the ``last`` one writes the node's own output."""
        from onnx import helper

        named = last and not self._turned
        result = self.output if named else self.scope.new_name(f"{self.output}_{operator.lower()}")
        name = self.node.name if last else f"{self.node.name or self.output}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [result], name=name))
        return self._transpose(result, self.output, [0, 3, 1, 2]) if last and self._turned else result

    def _transpose(self, given: str, made: str, order: list[int]) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node("Transpose", [given], [made], name=f"{made}_transpose", perm=order))
        return made


def start(node: Any, scope: Scope) -> Formula | None:
    """None where the type of the node's input is not a known float."""
    return Formula(node, scope) if scope.is_float(node.input[0]) else None


def _relu6_of_shifted(formula: Formula) -> str:
    """relu6(x + 3) / 6."""
    shifted = formula.apply("Add", formula.x, formula.number(3.0))
    clipped = formula.apply("Clip", shifted, formula.number(0.0), formula.number(6.0))
    return formula.apply("Mul", clipped, formula.number(1 / 6))


def _hard_swish(node: Any, scope: Scope) -> list[Any] | None:
    formula = start(node, scope)
    if formula is None:
        return None
    formula.apply("Mul", formula.x, _relu6_of_shifted(formula), last=True)
    return formula.nodes


def _hard_sigmoid(node: Any, scope: Scope) -> list[Any] | None:
    """clip(a * x + b, 0, 1), of which that of hard-swish (x / 6 + 1 / 2) has a form of its own. Clip takes its limits
    as inputs since opset 11."""
    formula = start(node, scope)
    alpha, beta = attribute_of(node, "alpha", 0.2), attribute_of(node, "beta", 0.5)
    if formula is None or scope.opset < 11:
        return None
    if not math.isclose(alpha, 1 / 6, rel_tol=1e-5) or beta != 0.5:
        line = formula.apply("Add", formula.apply("Mul", formula.x, formula.number(alpha)), formula.number(beta))
        return _between_0_and_1(formula, line)
    shifted = formula.apply("Add", formula.x, formula.number(3.0))
    clipped = formula.apply("Clip", shifted, formula.number(0.0), formula.number(6.0))
    formula.apply("Mul", clipped, formula.number(1 / 6), last=True)
    return formula.nodes


def _clip_to_one(node: Any, scope: Scope) -> list[Any] | None:
    """Only the one from 0 to 1, whose operator TensorFlow Lite has but recently (RELU_0_TO_1)."""
    formula = start(node, scope)
    if formula is None or scope.opset < 11:
        return None
    limits = [scope.constants.get(name) for name in node.input[1:]]
    if len(limits) != 2 or any(limit is None or limit.size != 1 for limit in limits):
        return None
    if [float(limit.reshape(())) for limit in limits if limit is not None] != [0, 1]:
        return None
    return _between_0_and_1(formula, formula.x)


def _clip_by_two(node: Any, scope: Scope) -> list[Any] | None:
    """min(max(x, 0), 1), which a converter takes for that clip too."""
    given = _beside(node, scope, 1.0)
    before = None if given is None else scope.producers.get(given)
    x = None if before is None or before.op_type != "Max" else _beside(before, scope, 0.0)
    formula = start(node, scope)
    return None if x is None or formula is None else _between_0_and_1(formula, x)


def _beside(node: Any, scope: Scope, number: float) -> str | None:
    """The other one of two inputs where one is a constant of this number."""
    if len(node.input) != 2:
        return None
    for place, name in enumerate(node.input):
        value = scope.constants.get(name)
        if value is not None and value.size == 1 and float(value.reshape(())) == number:
            return str(node.input[1 - place])
    return None


def _between_0_and_1(formula: Formula, x: str) -> list[Any]:
    """In this order: the other one is put together to RELU_0_TO_1 by a converter."""
    least = formula.apply("Min", x, formula.number(1.0))
    formula.apply("Max", least, formula.number(0.0), last=True)
    return formula.nodes


def _swish(node: Any, scope: Scope) -> list[Any] | None:
    formula, alpha = start(node, scope), attribute_of(node, "alpha", 1.0)
    if formula is None:
        return None
    scaled = formula.x if alpha == 1 else formula.apply("Mul", formula.x, formula.number(alpha))
    formula.apply("Mul", formula.x, formula.apply("Sigmoid", scaled), last=True)
    return formula.nodes


def _leaky_relu(node: Any, scope: Scope) -> list[Any] | None:
    """For slopes up to 1 the larger of x and a * x is the one that counts on both sides of 0, above 1 the smaller."""
    formula, slope = start(node, scope), attribute_of(node, "alpha", 0.01)
    if formula is None:
        return None
    if slope == 0:
        formula.apply("Relu", formula.x, last=True)
    else:
        scaled = formula.apply("Mul", formula.x, formula.number(slope))
        formula.apply("Max" if slope <= 1 else "Min", formula.x, scaled, last=True)
    return formula.nodes


def _prelu(node: Any, scope: Scope) -> list[Any] | None:
    """With constant slopes. Their broadcasting is that of Mul."""
    formula, slopes = start(node, scope), scope.constants.get(node.input[1])
    rank = len(scope.shape(node.input[0]) or ())
    if formula is None or slopes is None or slopes.ndim > rank:
        return None
    if (slopes <= 1).all():
        formula.apply("Max", formula.x, formula.apply("Mul", formula.x, node.input[1]), last=True)
        return formula.nodes
    below = formula.apply("Mul", formula.apply("Min", formula.x, formula.number(0.0)), node.input[1])
    formula.apply("Add", formula.apply("Max", formula.x, formula.number(0.0)), below, last=True)
    return formula.nodes


def _abs(node: Any, scope: Scope) -> list[Any] | None:
    formula = start(node, scope)
    if formula is None:
        return None
    formula.apply("Max", formula.x, formula.apply("Mul", formula.x, formula.number(-1.0)), last=True)
    return formula.nodes


def _tanh_gelu(node: Any, scope: Scope) -> list[Any] | None:
    return cubic_gelu(node, scope) if attribute_of(node, "approximate", "none") == "tanh" else None


def cubic_gelu(node: Any, scope: Scope) -> list[Any] | None:
    """0.5 * x * (1 + tanh(z)) with z = sqrt(2 / pi) * (x + 0.044715 * x^3), which is x * sigmoid(2 * z)."""
    formula, factor = start(node, scope), 2 * math.sqrt(2 / math.pi)
    if formula is None:
        return None
    square = formula.apply("Mul", formula.x, formula.x)
    weighted = formula.apply("Mul", square, formula.number(0.044715 * factor))
    slope = formula.apply("Add", weighted, formula.number(factor))
    gate = formula.apply("Sigmoid", formula.apply("Mul", formula.x, slope))
    formula.apply("Mul", formula.x, gate, last=True)
    return formula.nodes
