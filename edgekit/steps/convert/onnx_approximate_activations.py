"""onnx -> onnx: activations without an exact form in common operators, by a close one. Not the same function."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field

from edgekit.artifact import Artifact
from edgekit.formats.onnx_file import read_model, write_model
from edgekit.steps import Context, Produced, StepOptions, step
from edgekit.steps.convert.onnx_replace_activations import Formula, cubic_gelu, start
from edgekit.steps.convert.onnx_rewriting import Rule, Scope, count_notes, replace_nodes

_FACTOR = 1.702


class Options(StepOptions):
    gelu: Literal["sigmoid", "cubic", "keep"] = Field(
        "sigmoid",
        description="sigmoid: x * sigmoid(1.702 * x), off by up to 0.021; cubic: the tanh form of GELU, off by up to "
        "0.0005, with a cube whose range 8-bit integers resolve badly; keep",
    )


@step(
    "onnx_approximate_activations",
    accepts="onnx",
    produces="onnx",
    stack="onnx",
    version=1,
    options=Options,
    requires=("onnx",),
)
def onnx_approximate_activations(context: Context, artifact: Artifact, options: Options) -> Produced:
    """Replace GELU by a sigmoid form that maps; an approximation, best followed by fine-tuning."""
    model = read_model(artifact.path)
    rules: dict[str, dict[str, Rule]] = {
        "sigmoid": {"Gelu": _sigmoid_gelu, "Erf": _tanh_of_line},
        "cubic": {"Gelu": cubic_gelu, "Erf": _tanh_of_cubic},
        "keep": {},
    }
    replaced = replace_nodes(model, rules[options.gelu])
    path = context.workdir / f"{context.stem}.onnx"
    write_model(model, path)
    return Produced(path, artifact.io, count_notes(replaced, "by an approximation"))


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
