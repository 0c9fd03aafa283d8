"""From a recipe to a plan: routes, sharing, options and their origins, selection, what must be there beforehand."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from edgekit.devices import Profiles, load_profiles
from edgekit.errors import AbsentError, EdgekitError, ExcludedError, InputError, RecipeError, UnknownName
from edgekit.plan import Plan
from edgekit.planning.build import build_plan
from edgekit.recipe import load_recipe

PROFILES = load_profiles()

FOUR = """\
targets:
  coral: {}
  android-cpu: {precision: [fp16, int8]}
  openvino-cpu: {precision: [fp16, int8]}
  onnxruntime-cpu: {precision: [fp16, int8]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A model that a Python file builds, and a folder of pictures per class for each role."""
    (tmp_path / "net.py").write_text("raise SystemExit('a plan runs no code of the user')\n")
    (tmp_path / "net.pt").write_bytes(b"weights")
    for role in ("val", "calib"):
        (tmp_path / role / "cat").mkdir(parents=True)
        (tmp_path / role / "cat" / "1.jpg").write_bytes(b"\xff\xd8")
    return tmp_path


HEAD = """\
edgekit: 1
model: {file: "net.py:build", weights: net.pt}
data: {evaluate: {path: val}, calibrate: {path: calib, samples: 200}}
task: classification
"""


def plan(
    folder: Path,
    text: str,
    *overrides: str,
    head: str = HEAD,
    select: Sequence[str] = (),
    evaluate: bool = True,
    profiles: Profiles = PROFILES,
) -> Plan:
    path = folder / "net.yaml"
    path.write_text(head + text)
    return build_plan(load_recipe(path, overrides, profiles=profiles), profiles, select=select, evaluate=evaluate)


def outputs(made: Plan) -> list[str]:
    return [output.name for output in made.outputs]


def chain(made: Plan, output: str) -> list[str]:
    """The ids of the nodes that lead to an output."""
    ids: list[str] = []
    at: str | None = next(found.node for found in made.outputs if found.name == output)
    while at is not None:
        ids.insert(0, at)
        at = made.node(at).parent
    return ids


# --- the graph -------------------------------------------------------------------------------------------------------


def test_four_targets_share_what_is_equal(folder: Path) -> None:
    made = plan(folder, FOUR)
    assert [(node.id, node.parent) for node in made.nodes] == [
        ("torch_to_onnx", None),
        ("onnx_simplify", "torch_to_onnx"),
        ("onnx_to_tflite", "onnx_simplify"),
        ("tflite_int8@coral", "onnx_to_tflite"),
        ("tflite_fp16", "onnx_to_tflite"),
        ("tflite_int8@android-cpu", "onnx_to_tflite"),
        ("onnx_to_openvino", "onnx_simplify"),
        ("openvino_fp16", "onnx_to_openvino"),
        ("openvino_int8", "onnx_to_openvino"),
        ("onnx_fp16", "onnx_simplify"),
        ("onnx_int8", "onnx_simplify"),
    ]
    assert [(output.name, output.node) for output in made.outputs] == [
        ("coral/int8", "tflite_int8@coral"),
        ("android-cpu/fp16", "tflite_fp16"),
        ("android-cpu/int8", "tflite_int8@android-cpu"),
        ("openvino-cpu/fp16", "openvino_fp16"),
        ("openvino-cpu/int8", "openvino_int8"),
        ("onnxruntime-cpu/fp16", "onnx_fp16"),
        ("onnxruntime-cpu/int8", "onnx_int8"),
    ]
    assert set(made.node("onnx_simplify").outputs) == set(outputs(made))
    assert made.node("onnx_to_tflite").outputs == ("coral/int8", "android-cpu/fp16", "android-cpu/int8")
    assert [child.id for child in made.children("onnx_to_openvino")] == ["openvino_fp16", "openvino_int8"]


def test_the_efficientnet_recipe_comes_to_seven_files(folder: Path) -> None:
    """Six outputs and the float TFLite file between them, as the plain script makes."""
    made = plan(folder, FOUR.replace("android-cpu: {precision: [fp16, int8]}", "android-cpu: {precision: fp16}"))
    files = [
        node for node in made.nodes if node.id == "onnx_to_tflite" or node.id in {out.node for out in made.outputs}
    ]
    assert len(files) == 7


def test_outputs_that_come_to_the_same_share_the_node(folder: Path) -> None:
    text = "targets:\n  android-cpu: {precision: int8}\n  phone: {target: android-cpu, precision: int8}\n"
    made = plan(folder, text)
    assert [node.id for node in made.nodes][-1] == "tflite_int8"
    assert made.node("tflite_int8").outputs == ("android-cpu/int8", "phone/int8")
    io = "  coral: {options: {tflite_int8: {io: float32, compatible: current}}}\n"
    assert [node.id for node in plan(folder, text + io).nodes][-1] == "tflite_int8"


def test_an_option_deep_in_the_chain_parts_all_that_follows(folder: Path) -> None:
    text = FOUR.replace("coral: {}", "coral: {options: {torch_to_onnx: {opset: 13}}}")
    made = plan(folder, text)
    assert chain(made, "coral/int8") == [
        "torch_to_onnx@coral",
        "onnx_simplify@coral",
        "onnx_to_tflite@coral",
        "tflite_int8@coral",
    ]
    assert chain(made, "android-cpu/int8")[0] == "torch_to_onnx@android-cpu"
    parents = {None, *(node.id for node in made.nodes)}
    assert all(node.parent in parents for node in made.nodes)
    assert len({node.id for node in made.nodes}) == len(made.nodes)


def test_parents_stand_before_their_children(folder: Path) -> None:
    seen: set[str | None] = {None}
    for node in plan(folder, FOUR).nodes:
        assert node.parent in seen
        seen.add(node.id)


def test_every_node_knows_its_steps_traits(folder: Path) -> None:
    made = plan(folder, FOUR)
    assert all(node.traits is not None for node in made.nodes)
    assert {"torch", "onnx", "tflite", "openvino"} == set(made.formats)


def test_within_one_entry_the_precision_tells_twins_apart(folder: Path) -> None:
    targets = folder / "targets"
    targets.mkdir()
    (targets / "twins.yaml").write_text(
        "name: twins\nextends: onnxruntime-cpu\n"
        "routes:\n  fp16: [{torch_to_onnx: {opset: 17}}, onnx_fp16]\n"
        "  int8: [{torch_to_onnx: {opset: 18}}, onnx_int8]\n"
    )
    made = plan(folder, "targets: {twins: {precision: [fp16, int8]}}\n", profiles=load_profiles(targets))
    assert [node.id for node in made.nodes] == [
        "torch_to_onnx@twins-fp16",
        "onnx_fp16",
        "torch_to_onnx@twins-int8",
        "onnx_int8",
    ]


# --- routes ----------------------------------------------------------------------------------------------------------


def _model(folder: Path, shared: Path, name: str) -> str:
    """The head of a recipe for a real model file of the test data."""
    target = folder / Path(name).name
    target.write_bytes((shared / name).read_bytes())
    return HEAD.replace('{file: "net.py:build", weights: net.pt}', target.name)


@pytest.fixture
def float_tflite(folder: Path, shared_data: object) -> str:
    return _model(folder, shared_data("models"), "cifar10_resnet8_float.tflite")  # type: ignore[operator]


@pytest.fixture
def detector_onnx(folder: Path, shared_data: object) -> str:
    return _model(folder, shared_data("detection"), "FastestDet.onnx")  # type: ignore[operator]


def test_a_tflite_model_enters_the_route_where_tflite_is_taken(folder: Path, float_tflite: str) -> None:
    made = plan(folder, "targets: {coral: {}, android-cpu: {precision: [fp16, int8]}}\n", head=float_tflite)
    assert (made.source.format, made.source.factory) == ("tflite", None)
    assert [node.id for node in made.nodes] == ["tflite_int8@coral", "tflite_fp16", "tflite_int8@android-cpu"]
    assert {node.parent for node in made.nodes} == {None}


def test_an_onnx_model_enters_after_the_export(folder: Path, detector_onnx: str) -> None:
    made = plan(folder, "targets: [openvino-cpu]\n", head=detector_onnx)
    assert chain(made, "openvino-cpu/fp16") == ["onnx_simplify", "onnx_to_openvino", "openvino_fp16"]


def test_a_format_that_no_step_of_the_route_takes(folder: Path, float_tflite: str) -> None:
    with pytest.raises(ExcludedError) as caught:
        plan(folder, "targets: [openvino-cpu]\n", head=float_tflite)
    assert caught.value.exit_code == 4
    assert "the model is tflite" in caught.value.message
    assert caught.value.remedy == "start from a model in one of the formats torch, onnx, openvino"


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("[torch_to_onnx]", ["torch_to_onnx", "onnx_simplify", "onnx_to_tflite", "tflite_fp16"]),
        ("[torch_to_onnx, onnx_simplify]", ["torch_to_onnx", "onnx_simplify", "onnx_to_tflite", "tflite_fp16"]),
        # The route is entered after the last of its steps that the recipe does: simplifying is left out.
        ("[torch_to_onnx, onnx_to_tflite]", ["torch_to_onnx", "onnx_to_tflite", "tflite_fp16"]),
        (
            "[torch_to_onnx, onnx_simplify, onnx_to_tflite, tflite_fp16]",
            ["torch_to_onnx", "onnx_simplify", "onnx_to_tflite", "tflite_fp16"],
        ),
        # A step that is not in the route: what follows is the first step that takes what it gives.
        (
            "[torch_to_onnx, onnx_fp16]",
            ["torch_to_onnx", "onnx_fp16", "onnx_simplify", "onnx_to_tflite", "tflite_fp16"],
        ),
    ],
)
def test_the_recipes_steps_and_the_rest_of_the_route(folder: Path, steps: str, expected: list[str]) -> None:
    made = plan(folder, f"steps: {steps}\ntargets: [android-cpu]\n")
    assert chain(made, "android-cpu/fp16") == expected


def test_steps_that_lead_away_from_the_target(folder: Path) -> None:
    with pytest.raises(ExcludedError, match="the recipe's steps end in tflite") as caught:
        plan(folder, "steps: [torch_to_onnx, onnx_to_tflite]\ntargets: [openvino-cpu]\n")
    assert caught.value.exit_code == 4


def test_a_first_step_that_cannot_take_the_model(folder: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        plan(folder, "steps: [onnx_simplify]\ntargets: [openvino-cpu]\n")
    (mistake,) = caught.value.mistakes
    assert (mistake.line, mistake.column) == (5, 9)
    assert mistake.message == "`onnx_simplify` takes onnx, but the model is torch"


def test_steps_alone_make_an_output_called_after_their_format(folder: Path) -> None:
    made = plan(folder, "steps: [torch_to_onnx, onnx_simplify]\n")
    assert [(out.name, out.target, out.node) for out in made.outputs] == [("onnx/fp32", "", "onnx_simplify")]
    assert outputs(plan(folder, "steps: [torch_to_onnx, onnx_int8]\n")) == ["onnx/int8"]


@pytest.mark.parametrize(
    ("text", "select", "message", "remedy"),
    [
        (
            "targets: {coral: {precision: fp32}}\n",
            [],
            "Coral Edge TPU has no precision fp32: the Edge TPU computes",
            "coral/int8",
        ),
        (
            "targets: {tpu: {target: coral, precision: [int8, fp16]}}\n",
            [],
            "no precision fp16: the Edge TPU",
            "tpu/int8",
        ),
        ("targets: [coral]\n", ["coral/fp16"], "no precision fp16", "ask for coral/int8"),
        (
            "targets: [openvino-cpu]\n",
            ["openvino-cpu/int4"],
            "its profile lists fp16, int8",
            "openvino-cpu/fp16 or openvino-cpu/int8",
        ),
    ],
)
def test_a_precision_that_the_profile_does_not_list(
    folder: Path, text: str, select: list[str], message: str, remedy: str
) -> None:
    with pytest.raises(ExcludedError) as caught:
        plan(folder, text, select=select)
    assert caught.value.exit_code == 4
    assert message in caught.value.message
    assert remedy in (caught.value.remedy or "")
    assert caught.value.where == (f"--target {select[0]}" if select else f"{folder}/net.yaml:5")


def test_a_route_with_a_step_that_does_not_exist_names_the_profiles_line(folder: Path) -> None:
    targets = folder / "targets"
    targets.mkdir()
    (targets / "board.yaml").write_text(
        "name: board\nextends: onnxruntime-cpu\nroutes:\n  fp16: [torch_to_onnx, onnx_fp17]\n"
    )
    with pytest.raises(RecipeError) as caught:
        plan(folder, "targets: [board]\n", profiles=load_profiles(targets))
    (mistake,) = caught.value.mistakes
    assert str(mistake) == f"{targets}/board.yaml:4:25: no step is called `onnx_fp17`; did you mean `onnx_fp16`?"


# --- options ---------------------------------------------------------------------------------------------------------


def test_where_every_option_comes_from(folder: Path) -> None:
    text = """\
steps: [{torch_to_onnx: {opset: 17}}]
targets:
  coral: {options: {tflite_int8: {ranges: average}, torch_to_onnx: {opset: 18}}}
  android-cpu: {precision: int8}
"""
    made = plan(folder, text, "targets.android-cpu.options.tflite_int8.io=uint8")
    coral, android = made.node("tflite_int8@coral"), made.node("tflite_int8@android-cpu")
    assert coral.origins["io"] == "route of coral"
    assert coral.origins["ranges"] == "net.yaml:7"
    assert coral.origins["calibration"] == "default"
    assert (android.options["io"], android.origins["io"]) == ("uint8", "--set")
    assert (made.node("torch_to_onnx@coral").options["opset"], made.node("torch_to_onnx@coral").origins["opset"]) == (
        18,
        "net.yaml:7",
    )
    assert made.node("torch_to_onnx@android-cpu").origins == {"exporter": "default", "opset": "net.yaml:5"}
    assert all(node.origins.keys() == node.options.keys() for node in made.nodes)


def test_set_wins_over_what_the_output_says(folder: Path) -> None:
    text = "steps: [torch_to_onnx]\ntargets: {coral: {options: {torch_to_onnx: {opset: 18}}}, openvino-cpu: {}}\n"
    made = plan(folder, text, "steps.torch_to_onnx.opset=16")
    assert made.node("torch_to_onnx").options["opset"] == 16
    assert made.node("torch_to_onnx").origins["opset"] == "--set"


def test_gates_of_outputs_and_of_steps(folder: Path) -> None:
    text = """\
gates: {max_drop: 3, min_agreement: 90%}
steps: [torch_to_onnx, {onnx_simplify: {gates: {min_sqnr_db: 80}}}]
targets:
  coral: {gates: {max_drop: 2}, options: {onnx_to_tflite: {gates: {min_sqnr_db: 70, max_bytes: 100}}}}
  android-cpu: {options: {onnx_to_tflite: {gates: {min_sqnr_db: 65, max_bytes: 50}}}}
"""
    made = plan(folder, text)
    assert [out.gates for out in made.outputs] == [
        {"max_drop": 2.0, "min_agreement": 0.9},
        {"max_drop": 3.0, "min_agreement": 0.9},
    ]
    assert made.node("onnx_simplify").gates == {"min_sqnr_db": 80.0}
    # Gates part no nodes: the stricter limit of each holds on the one that is shared.
    assert made.node("onnx_to_tflite").gates == {"min_sqnr_db": 70.0, "max_bytes": 50.0}
    assert made.node("torch_to_onnx").gates == {}


# --- selection -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ([], ["phone/int8", "openvino-cpu/fp16"]),
        (["phone"], ["phone/int8"]),
        (["phone/fp16"], ["phone/fp16"]),
        (["openvino-cpu/int8", "phone"], ["openvino-cpu/int8", "phone/int8"]),
        (["coral"], ["coral/int8"]),
        (["onnxruntime-cpu"], ["onnxruntime-cpu/fp16"]),
        (["android-cpu/int8", "android-cpu"], ["android-cpu/int8", "android-cpu/fp16"]),
        (["phone", "phone/int8", "phone"], ["phone/int8"]),
    ],
)
def test_target_makes_only_these(folder: Path, select: list[str], expected: list[str]) -> None:
    text = "targets: {phone: {target: android-cpu, precision: int8}, openvino-cpu: {}}\n"
    assert outputs(plan(folder, text, select=select)) == expected


def test_a_selected_entry_keeps_its_options_and_gates(folder: Path) -> None:
    text = "targets: {phone: {target: android-cpu, options: {tflite_int8: {io: int8}}, gates: {max_drop: 5}}}\n"
    made = plan(folder, text, select=["phone/int8"])
    assert made.node("tflite_int8").options["io"] == "int8"
    assert made.outputs[0].gates == {"max_drop": 5.0}
    assert made.outputs[0].target == "android-cpu"


@pytest.mark.parametrize("text", ["corral", "corral/int8"])
def test_a_target_that_is_neither_entry_nor_profile(folder: Path, text: str) -> None:
    with pytest.raises(UnknownName, match="no target is called `corral`; did you mean `coral`") as caught:
        plan(folder, "targets: [coral]\n", select=[text])
    assert (caught.value.exit_code, caught.value.word) == (2, "unknown_target")


def test_a_target_without_its_precision(folder: Path) -> None:
    with pytest.raises(InputError, match="names no precision"):
        plan(folder, "targets: [coral]\n", select=["coral/"])


def test_a_recipe_without_targets(folder: Path) -> None:
    with pytest.raises(InputError, match="nothing to make") as caught:
        plan(folder, "")
    assert caught.value.exit_code == 2
    assert outputs(plan(folder, "", select=["coral"])) == ["coral/int8"]


# --- what must be there ----------------------------------------------------------------------------------------------

INT8 = "targets: {coral: {}}\n"
FP16 = "targets: {openvino-cpu: {precision: fp16}}\n"
NO_DATA = HEAD.replace("data: {evaluate: {path: val}, calibrate: {path: calib, samples: 200}}\n", "")


def problem(folder: Path, text: str, *overrides: str, head: str = HEAD, evaluate: bool = True) -> EdgekitError:
    with pytest.raises(EdgekitError) as caught:
        plan(folder, text, *overrides, head=head, evaluate=evaluate)
    return caught.value


def test_int8_without_data(folder: Path) -> None:
    error = problem(folder, INT8, head=NO_DATA)
    assert (error.exit_code, error.word) == (2, "no_calibration_data")
    assert "coral/int8" in error.message
    assert "tflite_int8" in error.message
    only = problem(folder, INT8, "data.calibrate=null")
    assert (only.exit_code, only.word) == (2, "no_calibration_data")
    assert plan(folder, FP16, head=NO_DATA).data is None
    # Quantizing needs samples whether or not anything is evaluated.
    assert problem(folder, INT8, head=NO_DATA, evaluate=False).word == "no_calibration_data"


@pytest.mark.parametrize("gates", ["gates: {max_drop: 1}\n", "gates: {min_metric: 70%}\n"])
def test_gates_on_accuracy_without_labels(folder: Path, gates: str) -> None:
    for change in ("data.evaluate=null", "task=compare"):
        error = problem(folder, gates + FP16, change)
        assert (error.exit_code, error.word) == (2, "labels_needed")
        assert error.where == f"{folder}/net.yaml:5"
        assert plan(folder, gates + FP16, change, evaluate=False).outputs[0].gates
    assert problem(folder, gates + FP16, head=NO_DATA).word == "labels_needed"
    # A flat folder and an archive of arrays without y show that they have no labels.
    flat = folder / "flat"
    flat.mkdir()
    (flat / "1.jpg").write_bytes(b"x")
    assert problem(folder, gates + FP16, f"data.evaluate.path={flat}").word == "labels_needed"
    (flat / "labels.csv").write_text("file,label\n1.jpg,0\n")
    plan(folder, gates + FP16, f"data.evaluate.path={flat}")
    for members, labelled in (
        (["x.npy"], False),
        (["x.npy", "y.npy"], True),
        (["jpeg.npy", "offsets.npy", "labels.npy"], True),
    ):
        with zipfile.ZipFile(folder / "d.npz", "w") as archive:
            for member in members:
                archive.writestr(member, b"")
        if labelled:
            plan(folder, gates + FP16, f"data.evaluate.path={folder}/d.npz")
        else:
            assert problem(folder, gates + FP16, f"data.evaluate.path={folder}/d.npz").word == "labels_needed"


def test_gates_of_an_entry_that_is_not_made_do_not_matter(folder: Path) -> None:
    text = "targets: {coral: {gates: {max_drop: 1}}, openvino-cpu: {}}\n"
    assert outputs(plan(folder, text, "task=compare", select=["openvino-cpu"])) == ["openvino-cpu/fp16"]


@pytest.mark.parametrize(
    ("override", "code", "word"),
    [
        ("model={file: gone.py:build}", 2, "missing_file"),
        ("model=gone.onnx", 2, "missing_file"),
        ("model=empty.onnx", 2, "empty_file"),
        ("model=net.yaml", 2, "wrong_format"),
        ("model.weights=gone.pt", 2, "missing_weights"),
        ("model.weights={path: gone.pt, get: pip install x}", 3, "missing_weights"),
        ("model.requires=[no-such-distribution-1, no-such-distribution-2]", 3, "missing_distribution"),
        ("data.calibrate.path=gone", 2, "missing_data"),
        ("data.evaluate.path=gone", 2, "missing_data"),
        ("data.evaluate.path=bare", 2, "empty_data"),
        ("data.evaluate.path=empty.onnx", 2, "empty_data"),
        ("data.evaluate.path=gone.py:read", 2, "missing_data"),
        ("data.evaluate={path: net.py:read, requires: [no-such-distribution-1]}", 3, "missing_distribution"),
        ("data=gone", 2, "missing_data"),
        ("task={name: classification, labels: gone.txt}", 2, "missing_file"),
    ],
)
def test_what_is_not_there(folder: Path, monkeypatch: pytest.MonkeyPatch, override: str, code: int, word: str) -> None:
    monkeypatch.chdir(folder)
    (folder / "bare").mkdir()
    (folder / "empty.onnx").touch()
    error = problem(folder, INT8, override)
    assert (error.exit_code, error.word) == (code, word), error.message


def test_the_remedies_are_commands(folder: Path) -> None:
    absent = problem(folder, INT8, "model.weights={path: gone.pt, get: fetch the weights}")
    assert isinstance(absent, AbsentError)
    assert absent.remedy == "fetch the weights"
    absent = problem(folder, INT8, "model.requires=[no-such-distribution-1, numpy, no-such-distribution-2]")
    assert absent.remedy == "pip install no-such-distribution-1 no-such-distribution-2"


def test_data_that_nothing_needs_may_be_absent(folder: Path) -> None:
    (folder / "calib" / "cat" / "1.jpg").unlink()
    plan(folder, FP16, "data.calibrate.path=gone")
    plan(folder, INT8, "data.evaluate.path=gone", evaluate=False)


def test_of_several_problems_the_one_with_the_first_exit_code(folder: Path) -> None:
    weights = "model.weights={path: gone.pt, get: fetch}"
    assert problem(folder, "targets: {coral: {precision: fp32}}\n").exit_code == 4
    assert problem(folder, "targets: {coral: {precision: fp32}}\n", weights).exit_code == 3
    assert problem(folder, "targets: {coral: {precision: fp32}}\n", weights, "data.evaluate.path=gone").exit_code == 2


def test_what_a_plan_says_of_source_data_and_task(folder: Path) -> None:
    head = HEAD.replace(
        "weights: net.pt", "weights: net.pt, options: {width: 2}, inputs: {x: {shape: [1, 3, 8, 8], layout: NCHW}}"
    )
    head = head.replace(
        "task: classification", "preprocess: [resize: {size: 8}]\ntask: {name: classification, label_offset: 1}"
    )
    made = plan(folder, INT8, head=head)
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
