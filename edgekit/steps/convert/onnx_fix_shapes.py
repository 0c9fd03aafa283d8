"""onnx -> onnx: every input with fixed sizes, for devices that take no others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import Field, PositiveInt

from edgekit.artifact import IO, Artifact
from edgekit.errors import InputError, UnknownName
from edgekit.formats.onnx_file import graph_inputs, read_model, write_model
from edgekit.formats.onnx_sizes import set_outputs
from edgekit.registry import did_you_mean
from edgekit.steps import Context, Produced, StepOptions
from edgekit.steps.convert.onnx_rewriting import infer_tensors, onnx_step

Shape = tuple[int | None, ...]


class Options(StepOptions):
    shapes: dict[str, tuple[PositiveInt, ...]] = Field(
        {}, description="{input: sizes}; an input that is not named keeps its own, and those that the recipe gives it"
    )
    batch: PositiveInt | None = Field(
        None, description="what a free first size becomes; by default what the recipe says of the input, else 1"
    )


@onnx_step("onnx_fix_shapes", version=1, options=Options, exact=True)
def onnx_fix_shapes(context: Context, artifact: Artifact, options: Options) -> Produced:
    """Fix the batch and every other free size; onnx_simplify, after it, folds the arithmetic of shapes away."""
    model = read_model(artifact.path)
    values = graph_inputs(model)
    names = [value.name for value in values]
    for name in options.shapes:
        if name not in names:
            raise UnknownName(f"the model has no input `{name}`{did_you_mean(name, names)}", where="onnx_fix_shapes")
    told: dict[str, Shape] = {tensor.name: tensor.shape for tensor in artifact.io.inputs}
    if options.batch is not None:
        told = {name: (None, *shape[1:]) if shape else shape for name, shape in told.items()}
    told.update(options.shapes)
    symbols: dict[str, int] = {}
    for value in values:
        _fix(value, told.get(value.name), symbols)
    for value in values:
        _fix_rest(value, symbols, options.batch or 1)
    _set_outputs(model, symbols)
    path = context.workdir / f"{context.stem}.onnx"
    write_model(model, path)
    io, free = _new_io(artifact.io, model)
    notes = (f"sizes that depend on the input's numbers stay free: {', '.join(free)}",) if free else ()
    return Produced(path, io, notes)


def _fix(value: Any, told: Shape | None, symbols: dict[str, int]) -> None:
    """Set the sizes that are told of an input, and learn what its named sizes are.

    Raises:
        InputError: the file says otherwise, or two inputs disagree on one name.
    """
    sizes = value.type.tensor_type.shape.dim
    if told is None:
        return
    if len(told) != len(sizes):
        raise _wrong(value, f"it has {len(sizes)} axes, the shape that is given {len(told)}")
    for axis, (size, wanted) in enumerate(zip(sizes, told, strict=True)):
        if wanted is None:
            continue
        if size.HasField("dim_value") and size.dim_value != wanted:
            raise _wrong(value, f"its axis {axis} is {size.dim_value}, not {wanted}")
        if size.dim_param and symbols.setdefault(size.dim_param, wanted) != wanted:
            raise _wrong(value, f"its size `{size.dim_param}` is {symbols[size.dim_param]} elsewhere, here {wanted}")
        size.dim_value = wanted


def _fix_rest(value: Any, symbols: dict[str, int], batch: int) -> None:
    """Set what is still free: by its name if another input told it, the first by the batch.

    Raises:
        InputError: another size is free.
    """
    for axis, size in enumerate(value.type.tensor_type.shape.dim):
        if size.HasField("dim_value"):
            continue
        name = size.dim_param
        if name not in symbols and axis:
            raise _wrong(value, f"its axis {axis}{f' (`{name}`)' if name else ''} is free, and nothing says its size")
        wanted = symbols.get(name, batch)
        if name:
            symbols[name] = wanted
        size.dim_value = wanted


def _set_outputs(model: Any, symbols: dict[str, int]) -> None:
    """The sizes of outputs as far as names and shape inference say them."""
    del model.graph.value_info[:]  # they speak of free sizes
    set_outputs(model, symbols, {name: shape for name, (_, shape) in infer_tensors(model).items()})


def _new_io(io: IO, model: Any) -> tuple[IO, list[str]]:
    """(the io with the sizes of the file, the outputs that have a free one)."""
    shapes: dict[str, Shape] = {}
    for value in (*model.graph.input, *model.graph.output):
        sizes = value.type.tensor_type.shape.dim
        shapes[value.name] = tuple(size.dim_value if size.HasField("dim_value") else None for size in sizes)
    inputs = tuple(replace(tensor, shape=shapes[tensor.name]) for tensor in io.inputs)
    outputs = tuple(replace(tensor, shape=shapes[tensor.name]) for tensor in io.outputs)
    return IO(inputs, outputs), [tensor.name for tensor in outputs if None in tensor.shape]


def _wrong(value: Any, why: str) -> InputError:
    return InputError(
        f"the input `{value.name}` cannot be fixed: {why}",
        where="onnx_fix_shapes",
        remedy=f"give its sizes: onnx_fix_shapes: {{shapes: {{{value.name}: [...]}}}}",
        code="free_size",
    )
