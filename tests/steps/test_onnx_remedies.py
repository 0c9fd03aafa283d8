"""The steps that cure what a device refuses: the same numbers (or how far off), and a larger share that maps."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgekit.artifact import IO, Artifact, Tensor, hash_files
from edgekit.errors import InputError, UnknownName
from edgekit.formats import FORMATS, Declared
from edgekit.formats.matching import synthetic_samples
from edgekit.steps import STEPS
from edgekit.toolchains import find

from ..onnx_models import mapped_on_coral, to_tflite

RunStep = Callable[..., Artifact]
Sqnr = Callable[..., float]
SIZES = (1, 7, 6, 6)
draw = np.random.default_rng(3)


def artifact_of(path: Path, io: IO | None = None) -> Artifact:
    kind = "onnx" if path.suffix == ".onnx" else "tflite"
    return Artifact(path, kind, *hash_files([path]), io or FORMATS.get("onnx").read_io(path, Declared()))


def undeclared(path: Path) -> Artifact:
    """With the sizes that the file has, free ones and all, which is what a step before this one may hand on."""
    sizes = [
        [size.dim_value if size.HasField("dim_value") else None for size in value.type.tensor_type.shape.dim]
        for value in (onnx.load(path).graph.input[0], onnx.load(path).graph.output[0])
    ]
    x, y = (Tensor(name, name, tuple(shape), "float32") for name, shape in zip("xy", sizes, strict=True))
    return artifact_of(path, IO((x,), (y,)))


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    shape: tuple[int | str, ...] = SIZES,
    *,
    opset: int = 17,
    type_: int = TensorProto.FLOAT,
    **constants: np.ndarray,
) -> Artifact:
    """A model from `x` to `y`."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", type_, shape)],
        [helper.make_tensor_value_info("y", type_, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
    return undeclared(path)


def node(type_: str, *names: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(type_, list(names[:-1]), [names[-1]], name=f"{type_}_{names[-1]}", **attributes)


def operators(artifact: Artifact) -> list[str]:
    return [node.op_type for node in onnx.load(artifact.path).graph.node]


def off(first: Artifact, second: Artifact, x: np.ndarray) -> float:
    """The largest difference of the two files' outputs, each run by ONNX's own reference."""
    (expected,), (found,) = (ReferenceEvaluator(str(made.path)).run(None, {"x": x}) for made in (first, second))
    assert expected.shape == found.shape
    assert expected.dtype == found.dtype
    return float(np.max(np.abs(expected.astype(np.float64) - found)))


def wide(*shape: int) -> np.ndarray:
    """Numbers far into both tails of an activation, with 0 and the corners of hard-swish among them."""
    numbers = draw.uniform(-8, 8, shape or SIZES).astype(np.float32)
    numbers.reshape(-1)[:4] = (0, 3, -3, -0.0)
    return numbers


# --- activations -----------------------------------------------------------------------------------------------------

ERF_GELU = [
    node("Div", "x", "root", "scaled"),
    node("Erf", "scaled", "erf"),
    node("Add", "erf", "one", "shifted"),
    node("Mul", "x", "shifted", "product"),
    node("Mul", "product", "half", "y"),
]
GELU_NUMBERS = {"root": np.float32(math.sqrt(2)), "one": np.float32(1), "half": np.float32(0.5)}


@pytest.mark.parametrize(
    ("given", "opset", "becomes"),
    [
        (node("HardSwish", "x", "y"), 17, ["Add", "Clip", "Mul", "Mul"]),
        (node("HardSigmoid", "x", "y", alpha=1 / 6, beta=0.5), 17, ["Add", "Clip", "Mul"]),
        (node("HardSigmoid", "x", "y"), 17, ["Mul", "Add", "Min", "Max"]),
        (node("Abs", "x", "y"), 17, ["Mul", "Max"]),
        (node("LeakyRelu", "x", "y"), 17, ["Mul", "Max"]),
        (node("LeakyRelu", "x", "y", alpha=-0.5), 17, ["Mul", "Max"]),
        (node("LeakyRelu", "x", "y", alpha=1.5), 17, ["Mul", "Min"]),
        (node("LeakyRelu", "x", "y", alpha=0.0), 17, ["Relu"]),
        (node("Gelu", "x", "y", approximate="tanh"), 20, ["Mul", "Mul", "Add", "Mul", "Sigmoid", "Mul"]),
        (node("Gelu", "x", "y"), 20, ["Gelu"]),
    ],
    ids=lambda value: f"{value.op_type}-{len(value.attribute)}" if isinstance(value, onnx.NodeProto) else None,
)
@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16"])
def test_exact_activations(
    given: onnx.NodeProto, opset: int, becomes: list[str], half: bool, tmp_path: Path, run_step: RunStep
) -> None:
    type_ = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    source = save(tmp_path / "source.onnx", [given], opset=opset, type_=type_)
    made = run_step("onnx_replace_activations", source)
    assert operators(made) == becomes
    x = wide() / 2 if opset == 20 else wide()  # half precision overflows in the tails of ONNX's reference of Gelu
    assert off(source, made, x.astype(np.float16) if half else x) < (0.02 if half else 3e-6)
    assert operators(run_step("onnx_replace_activations", made)) == becomes


@pytest.mark.parametrize(
    ("slopes", "becomes"),
    [
        ((0.25,), ["Mul", "Max"]),
        ((-2, 1, 0.5, 0, 0.1, 1, -1), ["Mul", "Max"]),
        ((0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 2), ["Add", "Max", "Min", "Mul"]),
    ],
)
def test_prelu(slopes: tuple[float, ...], becomes: list[str], tmp_path: Path, run_step: RunStep) -> None:
    array = np.array(slopes, np.float32).reshape(-1, 1, 1)
    source = save(tmp_path / "source.onnx", [node("PRelu", "x", "slope", "y")], slope=array)
    made = run_step("onnx_replace_activations", source, prelu="exact")
    assert sorted(operators(made), key=becomes.index) == becomes
    assert off(source, made, wide()) < 3e-6
    assert operators(run_step("onnx_replace_activations", source)) == ["PRelu"]
    computed = [node("Neg", "x", "slope"), node("PRelu", "x", "slope", "y")]
    assert operators(run_step("onnx_replace_activations", save(tmp_path / "c.onnx", computed), prelu="exact")) == [
        "Neg",
        "PRelu",
    ]


@pytest.mark.parametrize(("limits", "becomes"), [((0, 1), ["Min", "Max"]), ((0, 6), ["Clip"]), ((-1, 1), ["Clip"])])
def test_clip(limits: tuple[float, float], becomes: list[str], tmp_path: Path, run_step: RunStep) -> None:
    low, high = map(np.float32, limits)
    source = save(tmp_path / "source.onnx", [node("Clip", "x", "low", "high", "y")], low=low, high=high)
    made = run_step("onnx_replace_activations", source)
    assert operators(made) == becomes
    assert off(source, made, wide()) == 0


@pytest.mark.parametrize(("high", "becomes"), [(1, ["Min", "Max"]), (6, ["Max", "Min"])])
def test_clip_by_two(high: float, becomes: list[str], tmp_path: Path, run_step: RunStep) -> None:
    """A maximum and a minimum, which a converter puts together to RELU_0_TO_1 in this order alone."""
    nodes = [node("Max", "low", "x", "z"), node("Min", "z", "high", "y")]
    source = save(tmp_path / "source.onnx", nodes, low=np.float32(0), high=np.float32(high))
    made = run_step("onnx_replace_activations", source)
    assert [each for each in operators(made) if each != "Identity"][-2:] == becomes
    assert off(source, made, wide()) == 0


def test_names_that_are_taken(tmp_path: Path, run_step: RunStep) -> None:
    """PyTorch numbers nodes as the step does: of ``act`` it makes ``act_1``, which ONNX Runtime refuses twice."""
    names = ["act", "act_1", "act_2"]
    nodes = [helper.make_node("HardSwish", [x], [y], name=name) for name, x, y in zip(names, "xab", "aby", strict=True)]
    source = save(tmp_path / "source.onnx", nodes)
    made = run_step("onnx_replace_activations", source)
    found = [node.name for node in onnx.load(made.path).graph.node]
    assert len(set(found)) == len(found) == 12
    onnxruntime.InferenceSession(made.path, providers=["CPUExecutionProvider"])
    assert off(source, made, wide()) < 2e-5


def test_kept_activations(tmp_path: Path, run_step: RunStep) -> None:
    source = save(tmp_path / "source.onnx", [node("LeakyRelu", "x", "z"), node("HardSwish", "z", "y")])
    assert operators(run_step("onnx_replace_activations", source, leaky_relu="keep")) == [
        "LeakyRelu", "Add", "Clip", "Mul", "Mul",
    ]  # fmt: skip
    assert operators(run_step("onnx_replace_activations", source, hard_swish="keep")) == ["Mul", "Max", "HardSwish"]


@pytest.mark.parametrize(("form", "least", "most"), [("sigmoid", 0.015, 0.021), ("cubic", 1e-4, 5e-4)])
def test_approximate_gelu(form: str, least: float, most: float, tmp_path: Path, run_step: RunStep) -> None:
    """Both ways in which exporters write GELU, and how far off the two forms are: as their description says."""
    x = np.linspace(-8, 8, math.prod(SIZES), dtype=np.float32).reshape(SIZES)
    for name, nodes, opset in (("erf", ERF_GELU, 17), ("gelu", [node("Gelu", "x", "y")], 20)):
        source = save(tmp_path / f"{name}.onnx", nodes, opset=opset, **(GELU_NUMBERS if name == "erf" else {}))
        made = run_step("onnx_approximate_activations", source, gelu=form)
        assert not {"Erf", "Gelu", "Div"} & set(operators(made))
        assert least < off(source, made, x) < most
        kept = run_step("onnx_approximate_activations", source, gelu="keep")
        assert operators(kept) == operators(source)


@pytest.mark.parametrize(
    ("given", "options", "least", "most"),
    [
        (node("Elu", "x", "y"), {}, 0.003, 0.0031),
        (node("Elu", "x", "y", alpha=0.5), {}, 0.0015, 0.00155),
        (node("Elu", "x", "y"), {"elu": "tanh"}, 0.031, 0.032),
        (node("Selu", "x", "y"), {}, 0.005, 0.0031 * 1.76),
        (node("Celu", "x", "y", alpha=2.0), {}, 0.006, 0.0062),
        (node("Mish", "x", "y"), {}, 0.006, 0.0066),
        (node("Softplus", "x", "y"), {}, 0.004, 0.0041),
    ],
    ids=["elu", "half elu", "elu by tanh", "selu", "celu", "mish", "softplus"],
)
def test_approximate_activations(
    given: onnx.NodeProto, options: dict[str, Any], least: float, most: float, tmp_path: Path, run_step: RunStep
) -> None:
    """As far off as their description says, and no less."""
    x = np.linspace(-12, 12, math.prod((1, 9, 40, 40)), dtype=np.float32).reshape(1, 9, 40, 40)
    source = save(tmp_path / "source.onnx", [given], x.shape, opset=18)
    made = run_step("onnx_approximate_activations", source, **options)
    assert given.op_type not in operators(made)
    assert least < off(source, made, x) <= most
    keep = {"Mish": "mish", "Softplus": "softplus"}.get(given.op_type, "elu")
    assert operators(run_step("onnx_approximate_activations", source, **{keep: "keep"})) == [given.op_type]


def test_mish_in_three_operators(tmp_path: Path, run_step: RunStep) -> None:
    nodes = [node("Softplus", "x", "s"), node("Tanh", "s", "t"), node("Mul", "x", "t", "y")]
    source = save(tmp_path / "source.onnx", nodes, (1, 9, 40, 40))
    x = np.linspace(-12, 12, math.prod((1, 9, 40, 40)), dtype=np.float32).reshape(1, 9, 40, 40)
    made = run_step("onnx_approximate_activations", source)
    assert operators(made) == ["Sigmoid", "Mul", "Add", "Mul", "Add", "Mul", "Mul"]
    assert 0.006 < off(source, made, x) <= 0.0066
    softplus = run_step("onnx_approximate_activations", source, mish="keep")
    assert operators(softplus)[-2:] == ["Tanh", "Mul"]
    assert operators(run_step("onnx_approximate_activations", source, mish="keep", softplus="keep")) == operators(
        source
    )


def test_a_tanh_that_is_no_mish_stays(tmp_path: Path, run_step: RunStep) -> None:
    """Another reader of the gate, and a gate of something else."""
    nodes = [node("Softplus", "x", "s"), node("Tanh", "s", "t"), node("Mul", "x", "t", "m"), node("Add", "m", "t", "y")]
    source = save(tmp_path / "other.onnx", nodes)
    assert operators(run_step("onnx_approximate_activations", source, softplus="keep")) == operators(source)
    nodes = [node("Softplus", "x", "s"), node("Tanh", "s", "t"), node("Neg", "x", "n"), node("Mul", "n", "t", "y")]
    source = save(tmp_path / "gate.onnx", nodes)
    assert operators(run_step("onnx_approximate_activations", source, softplus="keep")) == operators(source)


def test_pictures_are_computed_channel_last(tmp_path: Path, run_step: RunStep) -> None:
    nodes = [node("MaxPool", "x", "p", kernel_shape=[1, 1]), node("Mish", "p", "y")]
    source = save(tmp_path / "source.onnx", nodes, opset=18)
    last = run_step("onnx_approximate_activations", source)
    first = run_step("onnx_approximate_activations", source, layout="channel_first")
    assert operators(last) == ["MaxPool", "Transpose", *operators(first)[1:], "Transpose"]
    assert off(first, last, wide()) == 0


def test_an_erf_that_is_no_gelu_stays(tmp_path: Path, run_step: RunStep) -> None:
    nodes = [node("Mul", "x", "two", "scaled"), node("Erf", "scaled", "y")]
    source = save(tmp_path / "source.onnx", nodes, two=np.float32(2))
    assert operators(run_step("onnx_approximate_activations", source)) == ["Mul", "Erf"]


def test_only_the_exact_one_says_so() -> None:
    assert STEPS.get("onnx_replace_activations").exact
    assert not STEPS.get("onnx_approximate_activations").exact


# --- means -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("opset", [13, 18])
@pytest.mark.parametrize("axes", [(2, 3), (-1, -2)])
def test_means(keep: int, opset: int, axes: tuple[int, int], tmp_path: Path, run_step: RunStep) -> None:
    if opset == 13:
        source = save(tmp_path / "m.onnx", [node("ReduceMean", "x", "y", axes=axes, keepdims=keep)], opset=opset)
    else:
        nodes = [node("ReduceMean", "x", "axes", "y", keepdims=keep)]
        source = save(tmp_path / "m.onnx", nodes, opset=opset, axes=np.array(axes, np.int64))
    made = run_step("onnx_pool_means", source)
    assert operators(made) == ["GlobalAveragePool"] + ["Flatten"] * (not keep)
    assert off(source, made, wide()) < 1e-6


@pytest.mark.parametrize(
    ("axes", "shape"), [((1, 2), SIZES), ((3,), SIZES), ((1, 2, 3), SIZES), ((2, 3), (1, 2, 3, 4, 5))]
)
def test_other_means_stay(axes: tuple[int, ...], shape: tuple[int, ...], tmp_path: Path, run_step: RunStep) -> None:
    source = save(tmp_path / "m.onnx", [node("ReduceMean", "x", "y", axes=axes)], shape)
    assert operators(run_step("onnx_pool_means", source)) == ["ReduceMean"]


@pytest.mark.parametrize("pooled", [False, True], ids=["ReduceMean", "GlobalAveragePool"])
def test_a_mean_beside_another_reader(pooled: bool, tmp_path: Path, run_step: RunStep) -> None:
    """Squeeze and excitation."""
    mean = node("GlobalAveragePool", "x", "m") if pooled else node("ReduceMean", "x", "m", axes=(2, 3))
    gate = [node("Sigmoid", "m", "s"), node("Mul", "x", "s", "y")]
    source = save(tmp_path / "m.onnx", [mean, *gate])
    made = run_step("onnx_pool_means", source)
    assert operators(made) == ["AveragePool", "Sigmoid", "Mul"]
    assert off(source, made, wide()) < 1e-5
    free = save(tmp_path / "f.onnx", [mean, *gate], (1, 7, "H", 6))
    assert operators(run_step("onnx_pool_means", free)) == ["GlobalAveragePool", "Sigmoid", "Mul"]
    alone = save(tmp_path / "a.onnx", [node("GlobalAveragePool", "x", "y")])
    assert operators(run_step("onnx_pool_means", alone)) == ["GlobalAveragePool"]


def test_a_mean_kept_by_name(tmp_path: Path, run_step: RunStep) -> None:
    source = save(tmp_path / "m.onnx", [node("ReduceMean", "x", "y", axes=(2, 3))])
    assert operators(run_step("onnx_pool_means", source, keep=("ReduceMean_y",))) == ["ReduceMean"]


# --- shapes ----------------------------------------------------------------------------------------------------------


def dynamic(folder: Path) -> Artifact:
    """A free batch, height and width, and arithmetic of shapes that flattens by them."""
    nodes = [
        node("Relu", "x", "r"),
        node("Shape", "x", "shape"),
        node("Gather", "shape", "zero", "batch"),
        node("Concat", "batch", "rest", "target", axis=0),
        node("Reshape", "r", "target", "y"),
    ]
    numbers = {"zero": np.array([0], np.int64), "rest": np.array([-1], np.int64)}
    return save(folder / "dynamic.onnx", nodes, ("N", 3, "H", "W"), **numbers)


def test_free_sizes(tmp_path: Path, run_step: RunStep) -> None:
    source = dynamic(tmp_path)
    made = run_step("onnx_fix_shapes", source, shapes={"x": (2, 3, 4, 5)})
    assert (made.io.inputs[0].shape, made.io.outputs[0].shape) == ((2, 3, 4, 5), (2, 60))
    assert off(source, made, wide(2, 3, 4, 5)) == 0
    read = FORMATS.get("onnx").read_io(made.path, Declared())
    assert read.inputs[0].shape == (2, 3, 4, 5)
    assert read.outputs == made.io.outputs
    assert operators(run_step("onnx_simplify", made)) == ["Relu", "Reshape"]  # nothing is left of the arithmetic


def test_the_batch_alone(tmp_path: Path, run_step: RunStep) -> None:
    source = save(tmp_path / "b.onnx", [node("Relu", "x", "y")], ("N", 3, 4))
    assert run_step("onnx_fix_shapes", source).io.outputs[0].shape == (1, 3, 4)
    assert run_step("onnx_fix_shapes", source, batch=5).io.outputs[0].shape == (5, 3, 4)


def test_what_a_recipe_says_of_the_source(tmp_path: Path, run_step: RunStep) -> None:
    path = dynamic(tmp_path).path
    io = FORMATS.get("onnx").read_io(path, Declared({"x": (1, 3, 8, 8)}))
    assert run_step("onnx_fix_shapes", artifact_of(path, io)).io.outputs[0].shape == (1, 192)


def test_sizes_that_nothing_says(tmp_path: Path, run_step: RunStep) -> None:
    source = dynamic(tmp_path)
    with pytest.raises(InputError, match=r"axis 2 \(`H`\) is free"):
        run_step("onnx_fix_shapes", source)
    with pytest.raises(InputError, match="its axis 1 is 3, not 4"):
        run_step("onnx_fix_shapes", source, shapes={"x": (1, 4, 8, 8)})
    with pytest.raises(InputError, match="it has 4 axes"):
        run_step("onnx_fix_shapes", source, shapes={"x": (1, 3)})
    with pytest.raises(UnknownName, match="no input `image`"):
        run_step("onnx_fix_shapes", source, shapes={"image": (1, 3, 8, 8)})


# --- what maps of it -------------------------------------------------------------------------------------------------


def between_convolutions(folder: Path, name: str) -> Artifact:
    """Two convolutions with something between them (or a mean and a classifier after the first)."""
    weights = draw.standard_normal((7, 3, 3, 3)).astype(np.float32)
    first = node("Conv", "x", "w", "c", pads=[1, 1, 1, 1])
    last = node("Conv", "a", "v", "y")
    middle: dict[str, list[onnx.NodeProto]] = {
        "hard_swish": [node("HardSwish", "c", "a")],
        "leaky_relu": [node("LeakyRelu", "c", "a", alpha=0.1)],
        "gelu": [
            node("Div", "c", "root", "scaled"),
            node("Erf", "scaled", "erf"),
            node("Add", "erf", "one", "shifted"),
            node("Mul", "c", "shifted", "product"),
            node("Mul", "product", "half", "a"),
        ],
        "clip": [node("Clip", "c", "zero", "one_", "a")],
        "elu": [node("Elu", "c", "e"), node("Add", "e", "c", "a")],
        "gate": [node("GlobalAveragePool", "c", "p"), node("Sigmoid", "p", "s"), node("Mul", "c", "s", "a")],
        "mish": [node("Softplus", "c", "s"), node("Tanh", "s", "t"), node("Mul", "c", "t", "a")],
    }
    numbers = {"w": weights, "v": draw.standard_normal((4, 7, 1, 1)).astype(np.float32)}
    if name == "mean":
        nodes = [first, node("ReduceMean", "c", "m", axes=(2, 3), keepdims=0), node("Gemm", "m", "d", "y")]
        numbers = {"w": weights, "d": draw.standard_normal((7, 10)).astype(np.float32)}
    else:
        nodes = [first, *middle[name], last]
        numbers |= GELU_NUMBERS if name == "gelu" else {}
        numbers |= {"zero": np.float32(0), "one_": np.float32(1)} if name == "clip" else {}
    return save(folder / f"{name}.onnx", nodes, (1, 3, 7, 7), **numbers)


REMEDIES = {
    "hard_swish": ("onnx_replace_activations", 60),
    "leaky_relu": ("onnx_replace_activations", 60),
    "gelu": ("onnx_approximate_activations", 30),
    "clip": ("onnx_replace_activations", 60),
    "elu": ("onnx_approximate_activations", 45),
    "mish": ("onnx_approximate_activations", 40),
    "gate": ("onnx_pool_means", 60),
    "mean": ("onnx_pool_means", 60),
}


def test_the_mapped_share_rises(
    tmp_path: Path, run_step: RunStep, sqnr: Sqnr, require: Callable[[str, str], None]
) -> None:
    if find("onnx2tf") is None:
        require("onnx2tf", "the toolchain is not installed: edgekit toolchain install onnx2tf")
    sources = {name: between_convolutions(tmp_path, name) for name in REMEDIES}
    cured = {name: run_step(step, sources[name]) for name, (step, _) in REMEDIES.items()}
    samples = synthetic_samples(sources["mean"].io, 4, 0)
    for name, (_, least) in REMEDIES.items():
        assert sqnr(sources[name], cured[name], samples) >= least, name
    paths = [made.path for name in REMEDIES for made in (sources[name], cured[name])]
    shares = [mapped_on_coral(made) for made in to_tflite(paths, tmp_path)]
    assert max(shares[::2]) < 1, "each of them is cut off as it is"
    assert shares[1::2] == [1.0] * len(REMEDIES)
