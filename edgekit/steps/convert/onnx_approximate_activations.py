"""onnx -> onnx: activations without an exact form in common operators, by a close one. Not the same function."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

from pydantic import Field

from edgekit.steps import StepOptions
from edgekit.steps.convert.onnx_lowering import is_picture
from edgekit.steps.convert.onnx_replace_activations import Formula, cubic_gelu, start
from edgekit.steps.convert.onnx_rewriting import Rule, Scope, attribute_of, count_notes, replace_nodes, rewriting_step

_FACTOR = 1.702

# The polynomials are the best ones in the sense of Chebyshev for what they stand for, found by linear programming.
_EXPONENTIAL = (1.9245388, 1.4214579, 0.5000048)  # exp(n) - 1 of t = tanh(n / 2), n <= 0: t * (a + b * t + c * t^2)
_EXPONENTIAL_LINE = (0.9684792, 0.8)  # exp(n) - 1 as a * tanh(b * n)
_MISH = (0.9279219, 1.1054733, -1.0333952)  # mish(x) / x of s = sigmoid(x): s * (a + b * s + c * s^2)
_SOFTPLUS = (0.9220594, 0.9121880)  # log(1 + exp(n)) of s = sigmoid(n), n <= 0: s * (a + b * s)


class Options(StepOptions):
    gelu: Literal["sigmoid", "cubic", "keep"] = Field(
        "sigmoid",
        description="sigmoid: x * sigmoid(1.702 * x), off by up to 0.021; cubic: the tanh form of GELU, off by up to "
        "0.0005, with a cube whose range 8-bit integers resolve badly; keep",
    )
    elu: Literal["cubic", "tanh", "keep"] = Field(
        "cubic",
        description="cubic: the exponential in ELU, SELU and CELU as a polynomial of a tanh, off by up to 0.0031 times "
        "the factor of the negative side; tanh: as a tanh alone, off by up to 0.032 times it; keep",
    )
    mish: Literal["cubic", "keep"] = Field(
        "cubic", description="cubic: x times a polynomial of sigmoid(x), off by up to 0.0066; keep"
    )
    softplus: Literal["quadratic", "keep"] = Field(
        "quadratic", description="quadratic: max(x, 0) and a polynomial of sigmoid(-|x|), off by up to 0.0041; keep"
    )
    layout: Literal["channel_last", "channel_first"] = Field(
        "channel_last",
        description="how the runtime that the file is for stores pictures: TensorFlow Lite channel_last, the others "
        "channel_first",
    )


@rewriting_step("onnx_approximate_activations", version=4, options=Options, exact=False)
def onnx_approximate_activations(model: Any, options: Options) -> tuple[str, ...]:
    """Replace GELU, ELU, Mish and softplus by forms that map; approximations, best followed by fine-tuning."""
    rules: dict[str, dict[str, Rule]] = {
        "sigmoid": {"Gelu": _sigmoid_gelu, "Erf": _tanh_of_line},
        "cubic": {"Gelu": cubic_gelu, "Erf": _tanh_of_cubic},
        "keep": {},
    }
    last = options.layout == "channel_last"
    chosen = dict(rules[options.gelu])
    if options.elu != "keep":
        chosen |= dict.fromkeys(("Elu", "Selu", "Celu"), partial(_elu, cubic=options.elu == "cubic", last=last))
    if options.mish == "cubic":
        chosen |= {"Mish": partial(_mish, last=last), "Tanh": partial(_mish_of_three, last=last)}
    if options.softplus == "quadratic":
        chosen["Softplus"] = partial(_softplus, last=last, keep_mish=options.mish == "cubic")
    replaced = replace_nodes(model, chosen)
    return count_notes(replaced, "by an approximation")


def _sigmoid_gelu(node: Any, scope: Scope) -> list[Any] | None:
    formula = start(node, scope)
    if formula is None:
        return None
    gate = formula.apply("Sigmoid", formula.apply("Mul", formula.x, formula.number(_FACTOR)))
    formula.apply("Mul", formula.x, gate, last=True)
    return formula.nodes


def _tanh_of_line(node: Any, scope: Scope) -> list[Any] | None:
    """erf(x / sqrt(2)) as tanh(0.851 * x), since (1 + tanh(t)) / 2 is sigmoid(2 * t)."""
    formula = _start_inside_gelu(node, scope)
    if formula is None:
        return None
    formula.apply("Tanh", formula.apply("Mul", formula.x, formula.number(_FACTOR / 2)), last=True)
    return formula.nodes


def _tanh_of_cubic(node: Any, scope: Scope) -> list[Any] | None:
    """erf(x / sqrt(2)) as tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))."""
    formula, factor = _start_inside_gelu(node, scope), math.sqrt(2 / math.pi)
    if formula is None:
        return None
    square = formula.apply("Mul", formula.x, formula.x)
    slope = formula.apply(
        "Add", formula.apply("Mul", square, formula.number(0.044715 * factor)), formula.number(factor)
    )
    formula.apply("Tanh", formula.apply("Mul", formula.x, slope), last=True)
    return formula.nodes


def _start_branching(node: Any, scope: Scope, last: bool) -> Formula | None:
    """A formula that reads x more than once, channel-last where x is a picture."""
    formula = start(node, scope)
    if formula is not None and last and len(scope.shape(formula.x) or ()) == 4 and is_picture(scope, formula.x):
        formula.go_channel_last()
    return formula


def _polynomial(formula: Formula, x: str, coefficients: Sequence[float]) -> str:
    """x * (a + x * (b + x * ...))."""
    *others, total = map(formula.number, coefficients)
    for coefficient in reversed(others):
        total = formula.apply("Add", formula.apply("Mul", x, total), coefficient)
    return formula.apply("Mul", x, total)


def _elu(node: Any, scope: Scope, *, cubic: bool, last: bool) -> list[Any] | None:
    """max(x, 0) + a * (exp(min(x, 0) / b) - 1), the first part times g for SELU."""
    formula = _start_branching(node, scope, last)
    if formula is None:
        return None
    alpha = attribute_of(node, "alpha", 1.6732632 if node.op_type == "Selu" else 1.0)
    gamma = attribute_of(node, "gamma", 1.0507009) if node.op_type == "Selu" else 1.0
    if alpha <= 0:
        return None
    stretch, factor = alpha if node.op_type == "Celu" else 1.0, alpha * gamma
    below = formula.apply("Min", formula.x, formula.number(0.0))
    slope = 0.5 if cubic else _EXPONENTIAL_LINE[1]
    bent = formula.apply("Tanh", formula.apply("Mul", below, formula.number(slope / stretch)))
    if cubic:
        below = _polynomial(formula, bent, [factor * each for each in _EXPONENTIAL])
    else:
        below = formula.apply("Mul", bent, formula.number(factor * _EXPONENTIAL_LINE[0]))
    above = formula.apply("Max", formula.x, formula.number(0.0))
    if gamma != 1:
        above = formula.apply("Mul", above, formula.number(gamma))
    formula.apply("Add", above, below, last=True)
    return formula.nodes


def _mish(node: Any, scope: Scope, *, last: bool) -> list[Any] | None:
    formula = _start_branching(node, scope, last)
    if formula is None:
        return None
    gate = _polynomial(formula, formula.apply("Sigmoid", formula.x), _MISH)
    formula.apply("Mul", formula.x, gate, last=True)
    return formula.nodes


def _mish_of_three(node: Any, scope: Scope, *, last: bool) -> list[Any] | None:
    """The gate of x * tanh(softplus(x)), as exporters write Mish in older opsets; None for any other tanh."""
    before = _softplus_of_mish(node, scope)
    if before is None:
        return None
    gate = type(node)()
    gate.CopyFrom(node)
    gate.input[0] = before.input[0]
    formula = _start_branching(gate, scope, last)
    if formula is None:
        return None
    first, second, third = map(formula.number, _MISH)
    bent = formula.apply("Sigmoid", formula.x)
    line = formula.apply("Add", formula.apply("Mul", bent, third), second)
    curve = formula.apply("Add", formula.apply("Mul", bent, line), first)
    formula.apply("Mul", bent, curve, last=True)
    return formula.nodes


def _softplus_of_mish(tanh: Any, scope: Scope) -> Any | None:
    """The softplus node that this tanh reads, if every reader multiplies the tanh by what the softplus reads."""
    before = scope.producers.get(tanh.input[0])
    if before is None or before.op_type != "Softplus":
        return None
    readers = scope.readers.get(tanh.output[0], [])
    gates = [reader for reader in readers if reader.op_type == "Mul" and before.input[0] in reader.input]
    return before if readers and len(gates) == len(readers) else None


def _softplus(node: Any, scope: Scope, *, last: bool, keep_mish: bool) -> list[Any] | None:
    """max(x, 0) + log(1 + exp(-|x|)), with |x| = max(x, -x): of two computed tensors the smaller has no 8-bit form in
    the quantizer, the larger has. One that is a part of Mish goes with that."""
    readers = scope.readers.get(node.output[0], [])
    if keep_mish and readers and all(each.op_type == "Tanh" and _softplus_of_mish(each, scope) for each in readers):
        return None
    formula = _start_branching(node, scope, last)
    if formula is None:
        return None
    minus = formula.number(-1.0)
    above = formula.apply("Max", formula.x, formula.apply("Mul", formula.x, minus))
    below = formula.apply("Mul", above, minus)
    bend = _polynomial(formula, formula.apply("Sigmoid", below), _SOFTPLUS)
    formula.apply("Add", formula.apply("Max", formula.x, formula.number(0.0)), bend, last=True)
    return formula.nodes


def _start_inside_gelu(node: Any, scope: Scope) -> Formula | None:
    """A formula of the x in erf(x / sqrt(2)), as exporters write GELU in older opsets; None for any other erf."""
    before, formula = scope.producers.get(node.input[0]), start(node, scope)
    if before is None or formula is None or before.op_type not in ("Div", "Mul"):
        return None
    for place, name in enumerate(before.input):
        value = scope.constants.get(name)
        if value is None or value.size != 1 or (before.op_type == "Div" and place == 0):
            continue
        factor = float(value.reshape(())) if before.op_type == "Mul" else 1 / float(value.reshape(()))
        if math.isclose(factor, math.sqrt(0.5), rel_tol=1e-3):
            formula.x = before.input[1 - place]
            return formula
    return None
