"""What is said of sizes that a file leaves free, of every profile; and what the step onnx_fix_shapes says of them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from edgekit.cli.step_flags import parse_steps
from edgekit.devices import load_profiles
from edgekit.errors import EdgekitError
from edgekit.formats import Header
from edgekit.planning.checking import check_sizes
from edgekit.planning.free_sizes import agreed_sizes, find_free, refuse_in_check, sizes_of_step

PROFILES = load_profiles()
HEADER = Header(inputs={"image": (None, 3, None, None), "ids, 1": (1, None), "scale": (1,), "batch": (None, 4)})


@pytest.mark.parametrize("name", list(PROFILES))
def test_every_profile(name: str) -> None:
    """Exit 4 with the source where a profile says that the device takes fixed sizes only; else only edgekit asks."""
    profile = PROFILES[name]
    error = refuse_in_check(profile, "m.onnx", HEADER, find_free(HEADER, ()))
    static = profile.shapes.static
    excluded = static is not None and static.value is True
    assert error.exit_code == (4 if excluded else 2)
    if static is not None and static.value is not None:
        assert str(static.source) in error.message
    assert "`image` is ?x3x?x?" in error.message and "`ids, 1` is 1x?" in error.message
    assert "`scale`" not in error.message and "`batch`" not in error.message
    flags, step = str(error.remedy).partition("with your sizes: ")[2].split(", or --step ")
    assert shlex.split(flags) == ["--shape", "image=1x3x224x224", "--shape", "ids, 1=1x128"]
    shapes = {"image": [1, 3, 224, 224], "ids, 1": [1, 128]}
    assert parse_steps(shlex.split(step)) == ({"onnx_fix_shapes": {"shapes": shapes}},)


def test_examples_of_the_file_itself() -> None:
    header = Header(inputs={"x": (None, 3, None)}, examples={"x": (4, 3, 16)})
    error = refuse_in_check(PROFILES["coral"], "m.pt2", header, header.inputs)
    assert "--shape x=1x3x16," in str(error.remedy)


def test_what_the_step_says() -> None:
    assert sizes_of_step({}, HEADER) == {}
    assert sizes_of_step({"batch": 2, "shapes": {"image": [1, 3, 8, 8]}}, HEADER) == {
        "image": (1, 3, 8, 8),
        "batch": (2, 4),  # a batch alone says nothing of an input with other free sizes
    }
    same, other = {"a": (1, 2)}, {"a": (1, 3), "b": (4,)}
    assert agreed_sizes([same, same]) == same
    assert agreed_sizes([same, other]) == {"b": (4,)}
    assert find_free(HEADER, ("image",)) == {"ids, 1": (1, None)}


@pytest.mark.parametrize(
    ("declared", "step", "refused"),
    [
        ([], None, True),
        ([""], None, False),  # --shape without a name is of the only input
        (["image"], None, False),
        (["other"], None, True),
        ([], {"shapes": {"image": [1, 3, 8, 8]}}, False),
        ([], {"shapes": {"other": [1, 3, 8, 8]}}, True),
        ([], {"batch": 1}, True),
        ([], {"shapes": 5}, True),
    ],
    ids=json.dumps,
)
def test_who_says_it(declared: list[str], step: dict[str, object] | None, refused: bool, tmp_path: Path) -> None:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, "h", 8]) for name in ("image", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["image"], ["y"])], "g", values[:1], values[1:])
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    named = [] if step is None else [{"onnx_fix_shapes": step}]
    try:
        check_sizes(PROFILES["coral"], tmp_path / "m.onnx", "onnx", declared, named)
    except EdgekitError as error:
        assert refused
        assert error.exit_code == 4
    else:
        assert not refused
