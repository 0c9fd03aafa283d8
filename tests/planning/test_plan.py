"""What a plan says of its recipe, and that making one runs nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.plan import Plan
from edgekit.planning.build import build_plan
from edgekit.recipe import load_recipe

from .planned import FOUR, HEAD, PROFILES, plan


def test_what_a_plan_says_of_source_data_and_task(folder: Path) -> None:
    head = HEAD.replace(
        "weights: net.pt", "weights: net.pt, options: {width: 2}, inputs: {x: {shape: [1, 3, 8, 8], layout: NCHW}}"
    )
    head = head.replace(
        "task: classification", "preprocess: [resize: {size: 8}]\ntask: {name: classification, label_offset: 1}"
    )
    made = plan(folder, "targets: {coral: {}}\n", head=head)
    assert made.name == "net"
    assert (made.source.file, made.source.factory, made.source.format) == (folder / "net.py", "build", "torch")
    assert made.source.weights == folder / "net.pt"
    assert made.source.options == {"width": 2}
    assert made.source.inputs == {"x": {"shape": [1, 3, 8, 8], "layout": "NCHW"}}
    assert made.data is not None
    assert made.data.preprocess == ({"resize": {"size": 8, "interpolation": "bilinear"}},)
    assert made.data.calibrate is not None
    assert (made.data.calibrate.path, made.data.calibrate.samples) == (folder / "calib", 200)
    assert made.task is not None
    assert (made.task.name, made.task.options) == ("classification", {"label_offset": 1})


@pytest.mark.parametrize(
    "text",
    [
        FOUR,
        "steps: [torch_to_onnx]\n"
        + FOUR.replace("coral: {}", "coral: {options: {tflite_int8: {io: uint8}}, gates: {max_drop: 2}}"),
    ],
)
def test_the_resolved_recipe_comes_to_the_same_plan(folder: Path, text: str) -> None:
    path = folder / "net.yaml"
    path.write_text(HEAD + text)
    recipe = load_recipe(path, ["gates.min_agreement=90%"], profiles=PROFILES)
    resolved = folder / "elsewhere" / "recipe.resolved.yaml"
    resolved.parent.mkdir()
    resolved.write_text(recipe.to_yaml())
    first, second = build_plan(recipe, PROFILES), build_plan(load_recipe(resolved, profiles=PROFILES), PROFILES)

    def told(made: Plan) -> str:
        nodes = [(node.id, node.options, node.parent, node.outputs, node.gates) for node in made.nodes]
        return json.dumps(
            [made.name, made.recipe_sha256, nodes, [str(out) for out in made.outputs], str(made.data), str(made.source)]
        )

    assert told(first) == told(second)


def test_planning_imports_no_framework_and_runs_no_code_of_the_user(folder: Path) -> None:
    (folder / "net.yaml").write_text(HEAD + FOUR)
    program = """
import sys
from pathlib import Path
from edgekit.devices import load_profiles
from edgekit.planning.build import build_plan
from edgekit.recipe import load_recipe
profiles = load_profiles()
build_plan(load_recipe(Path(sys.argv[1]), profiles=profiles), profiles)
heavy = "torch tensorflow onnx onnxruntime openvino nncf ai_edge_litert onnx2tf scipy PIL".split()
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder / "net.yaml")], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
