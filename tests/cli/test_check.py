from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from edgekit.checks.measurement import Verdict
from edgekit.cli.check import Checked
from edgekit.cli.further import Further, Way
from edgekit.cli.placement import check_text
from edgekit.devices.judge import Judgement, Need
from edgekit.devices.placement import Cause, Placed, Placement, Violation, Where
from edgekit.devices.profile import Profile

Command = Callable[..., subprocess.CompletedProcess[str]]
Shared = Callable[[str], Path]

BOARD = """\
name: my-board
title: My board
family: test
formats: {value: [onnx], source: manual}
precisions:
  fp16:
    weights: {value: float16, source: manual}
    activations: {value: float16, source: manual}
    io: {value: [float32], source: manual}
excluded: {int8: {value: no 8-bit integers, source: manual p. 7}}
routes: {fp16: [torch_to_onnx, onnx_simplify]}
shapes: {static: {value: true, source: manual p. 9}}
operators: {rules: tensorrt, level: {value: TensorRT LEVEL, source: manual}}
"""


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("boards")
    (folder / "my-board.yaml").write_text(BOARD.replace("LEVEL", "8.5"))
    (folder / "my-old-board.yaml").write_text(BOARD.replace("LEVEL", "8.2").replace("my-board", "my-old-board"))
    return folder


def document(done: subprocess.CompletedProcess[str], code: int = 0) -> dict[str, Any]:
    assert done.returncode == code, done.stderr
    found = json.loads(done.stdout)
    assert found["schema"] == "edgekit.check/1"
    assert found["exit_code"] == code
    return found


def test_file_that_fits(edgekit_command: Command, shared_data: Shared) -> None:
    """Coral publishes this model compiled: all of it runs on the Edge TPU. 300.8 M MACs, 3.49 M parameters."""
    file = shared_data("models/mobilenet_v2_1.0_224_quant.tflite")
    done = edgekit_command("check", file, "--target", "coral", "--json", "--min-mapped", "100%")
    found = document(done)
    assert (found["verdict"], found["source"], found["subgraphs"]) == ("fits", "predicted", 1)
    assert found["judged"] == {"path": str(file), "format": "tflite", "assumed_quantized": False}
    assert found["totals"] == {
        "operators": 66,
        "accelerator": 66,
        "not_known": 0,
        "mapped_operators": 1.0,
        "mapped_macs": 1.0,
        "mapped_params": 1.0,
    }
    assert sum(operator["macs"] for operator in found["operators"]) == pytest.approx(300.8e6, rel=0.005)
    assert [operator["index"] for operator in found["operators"]] == list(range(66))
    assert found["memory"]["parameter_bytes"]["needs"] == pytest.approx(3.49e6, rel=0.05)
    assert found["memory"]["activation_bytes"]["exceeds"] is None
    assert found["gates"][0]["result"] == "pass"


def test_parameters_beyond_the_chips_store(edgekit_command: Command, shared_data: Shared, tmp_path: Path) -> None:
    """All of it is mapped, and the profile has less room than its 3.5 million parameters: both are told."""
    room = 'memory: {parameter_bytes: {value: 1000000, source: "its manual"}}\n'
    (tmp_path / "small.yaml").write_text(f"name: small\nextends: coral\n{room}")
    file = shared_data("models/mobilenet_v2_1.0_224_quant.tflite")
    done = edgekit_command("check", file, "--target", "small", "--targets-dir", tmp_path)
    assert done.returncode == 0
    room_told = "more than the device's 1.00 MB: what is beyond is fetched for every inference"
    assert re.search(rf"^ *parameters +[\d.]+ MB; {re.escape(room_told)}$", done.stdout, re.MULTILINE)
    assert "fits: all of it runs on the accelerator, which does not keep all of its parameters; exit 0" in done.stdout


def test_a_float_file_counts_as_the_device_holds_it(tiny: Any, edgekit_command: Command) -> None:
    needs = {}
    for target in ("jetson-orin-nano/fp16", "jetson-orin-nano/fp32"):
        words = ("check", tiny.model, "--target", target)
        needs[target] = document(edgekit_command(*words, "--json"))["memory"]["parameter_bytes"]["needs"]
        shown = edgekit_command(*words).stdout
        assert bool(re.search(r"^ *parameters .* as float16$", shown, re.MULTILINE)) == target.endswith("fp16")
    assert needs["jetson-orin-nano/fp32"] == 2 * needs["jetson-orin-nano/fp16"] > 0


def test_partial_and_its_limits(edgekit_command: Command, shared_data: Shared) -> None:
    """A detector with its post-processing, which Coral's documents leave to the CPU: 114 of 115 operators."""
    file = shared_data("coral/ssd_mobilenet_detect_postprocess.tflite")

    def ask(*limits: str, code: int) -> dict[str, Any]:
        return document(edgekit_command("check", file, "-t", "coral", "--json", *limits), code)

    found = ask("--min-mapped", "0.99", "--min-mapped-macs", "99%", code=0)
    assert found["verdict"] == "partial"
    assert found["totals"]["mapped_operators"] == pytest.approx(114 / 115)
    (left,) = (operator for operator in found["operators"] if operator["placement"] != "accelerator")
    assert (left["type"], left["index"], left["cause"]) == ("TFLite_Detection_PostProcess", 114, "rejected")
    assert left["reason"] and left["remedy"]
    missed = ask("--min-mapped", "99.5%", "--min-mapped-macs", "99%", code=1)
    assert {gate["gate"]: gate["result"] for gate in missed["gates"]} == {
        "min_mapped_operators": "fail",
        "min_mapped_macs": "pass",
    }


def test_float_file_on_coral(edgekit_command: Command, shared_data: Shared) -> None:
    file = shared_data("models/cifar10_resnet8_float.tflite")
    found = document(edgekit_command("check", file, "--target", "coral", "--json", "--min-mapped", "95%"), 4)
    assert found["verdict"] == "violates"
    assert [violation["rule"] for violation in found["violations"]] == ["precision"]
    assert all(found["violations"][0].values())
    assert {operator["placement"] for operator in found["operators"]} == {"cpu"}


def test_text(snapshot: Any) -> None:
    """Of a placement by hand, with every cause, a violation, figures that are known and figures that are not."""
    name = "a/name/that/a/converter/joined/from/many/operators/of/the/model;and/more"

    def placed(index: int, kind: str, where: Where, cause: Cause, *why: str | None) -> Placed:
        return Placed(index, kind, "", where, f"status {cause}", cause, *why, macs=100 * (kind == "CONV_2D"), params=9)

    late = ("it comes after a refused operator", "cure that one")
    operators = (
        placed(0, "QUANTIZE", "cpu", "host", "it reads floats", "feed int8"),
        placed(1, "CONV_2D", "accelerator", "mapped"),
        placed(2, "CONV_2D", "accelerator", "mapped"),
        placed(3, "HARD_SWISH", "cpu", "rejected", "HARD_SWISH does not map", "replace it"),
        *(placed(4 + n, "RESIZE", "cpu", "rejected", f"`{name}` is {n + 2}x larger", "resize less") for n in range(6)),
        *(placed(10 + n, "CONV_2D", "cpu", "downstream", *late) for n in range(2)),
        placed(12, "CUSTOM", "not_known", "unknown", "no list has it"),
    )
    board = Profile.model_validate({**YAML(typ="safe").load(BOARD), "routes": {"fp16": [{"step": "onnx_simplify"}]}})
    memory = (
        Need("parameter_bytes", 9_000_000, 8_000_000, "manual"),
        Need("activation_bytes", 1_500, None, searched="the manual"),
        Need("total_bytes", 9_001_500, 16_000_000, "manual", required=True),
    )
    versions = [Violation("version", f"CONV_2D (operator {n}) is too new", "an older one", "list") for n in (1, 2)]
    broken = (Violation("rank", "a tensor may have 3 axes", "reshape it", "manual p. 3"), *versions)
    way = Way(("onnx_simplify", "onnx_pool_means", "onnx_to_tflite"), unchanged=("onnx_pool_means",))
    further = Further("edgekit check net.onnx --step x", ("onnx_widen_1d", "onnx_split_large"))
    texts = []
    for violations, chosen in (((), operators), ((), operators[:-1]), (broken, operators[:3]), ((), operators[:3])):
        held = {"cached_parameter_bytes": 7_000_000, "streamed_parameter_bytes": None}
        placement = Placement("predicted", chosen, 1, 2, held, violations, ("a note",))
        judgement = Judgement("my-board", placement, memory, assumed_quantized=True)
        gate = Verdict("min_mapped_macs", 0.9, 0.5, None, "fail", None)
        checked = Checked("net.onnx", board, "fp16", Path("out/net.tflite"), "tflite", judgement, (gate,))
        if violations:
            checked = replace(checked, way=way, further=further)
        texts.append(check_text(checked))
    snapshot("check.txt", "\n\n----\n\n".join(texts) + "\n")


def test_model_on_the_way_to_the_device(
    onnx2tf: Path, networks_file: Path, edgekit_command: Command, tmp_path: Path
) -> None:
    """A torch model is converted, without samples, and judged as if quantized; the file that was judged is there."""
    model = f"{networks_file}:classifier"
    done = edgekit_command("check", model, "--target", "coral", "--shape", "1x3x16x16", "--json", cwd=tmp_path)
    found = document(done)
    assert found["judged"]["assumed_quantized"]
    assert found["judged"]["format"] == "tflite"
    assert found["violations"] == []
    assert found["verdict"] in ("fits", "partial")
    judged = tmp_path / found["judged"]["path"]
    inspected = json.loads(edgekit_command("inspect", judged, "--json").stdout)
    assert inspected["operators"] == dict(Counter(operator["type"] for operator in found["operators"]))
    assert sum(operator["macs"] for operator in found["operators"]) == inspected["macs"] > 0
    # The same file, were it given as it is, is a float one.
    assert document(edgekit_command("check", judged, "-t", "coral", "--json"), 4)["verdict"] == "violates"


def test_own_board(tiny: Any, boards: Path, edgekit_command: Command) -> None:
    done = edgekit_command("check", tiny.model, "--target", "my-board", "--targets-dir", boards, "--json")
    found = document(done)
    assert found["judged"] == {"path": str(tiny.model), "format": "onnx", "assumed_quantized": False}
    assert found["verdict"] == "fits"
    assert [operator["type"] for operator in found["operators"]] == ["Gemm"]
    # 8 * 3 weights and 3 biases of two bytes, as the board computes in half precision; the input's 8 numbers and the
    # output's 3 are held at one time, of four bytes as in the file.
    assert found["memory"]["parameter_bytes"]["needs"] == 2 * 27
    assert found["memory"]["activation_bytes"]["needs"] == 4 * 11


def test_opset_that_the_board_does_not_read(tiny: Any, boards: Path, edgekit_command: Command) -> None:
    """The model has opset 17; NVIDIA's parser of TensorRT 8.2 reads up to 13."""
    done = edgekit_command("check", tiny.model, "-t", "my-old-board", "--targets-dir", boards, "--json")
    found = document(done, 4)
    (violation,) = found["violations"]
    assert violation["rule"] == "opset"
    assert "17" in violation["message"] and "13" in violation["message"]
    assert violation["source"]


def test_not_known_never_fits(tiny: Any, tmp_path: Path, edgekit_command: Command) -> None:
    """No list of operators is of this board's release: nothing says where operators run, and no limit is held or
    missed."""
    level = 'operators: {level: {unknown: "its manual"}}\n'
    (tmp_path / "dim-board.yaml").write_text(f"name: dim-board\nextends: jetson-orin-nano\ntitle: Dim\n{level}")
    words = ("check", tiny.model, "-t", "dim-board", "--targets-dir", tmp_path, "--json", "--min-mapped", "50%")
    found = document(edgekit_command(*words))
    assert found["verdict"] == "not_known"
    assert found["gates"][0]["result"] == "not_measured"
    assert {operator["placement"] for operator in found["operators"]} == {"not_known"}
    count = len(found["operators"])
    shares = dict.fromkeys(("accelerator", "mapped_operators", "mapped_macs", "mapped_params"))
    assert found["totals"] == {"operators": count, "not_known": count, **shares}
    shown = edgekit_command(*(word for word in words if word != "--json")).stdout
    assert re.search(r"^ *accelerator +not known$", shown, re.MULTILINE)
    document(edgekit_command(*words, "--strict"), 6)


def test_one_that_is_known_makes_no_share(edgekit_command: Command, shared_data: Shared, tmp_path: Path) -> None:
    """The phone's driver decides on all but the softmax, which this profile rules out: no share is known."""
    refused = "operators: {refused: {value: [SOFTMAX], source: its manual}}\n"
    (tmp_path / "phone.yaml").write_text(f"name: phone\nextends: android-npu\n{refused}")
    file = shared_data("models/mobilenet_v2_1.0_224_quant.tflite")
    words = ("check", file, "-t", "phone", "--targets-dir", tmp_path)
    found = document(edgekit_command(*words, "--json"))
    assert Counter(one["placement"] for one in found["operators"]) == {"not_known": 65, "cpu": 1}
    shares = dict.fromkeys(("accelerator", "mapped_operators", "mapped_macs", "mapped_params"))
    assert found["totals"] == {"operators": 66, "not_known": 65, **shares}
    shown = edgekit_command(*words).stdout
    assert re.search(
        r"^ *accelerator +not known of 65 of 66 operators; none of the others is there$", shown, re.MULTILINE
    )


@pytest.mark.parametrize("target", ["onnxruntime-cpu", "browser"])
def test_a_device_that_has_nothing_but_a_cpu(target: str, tiny: Any, edgekit_command: Command) -> None:
    """Nothing is accelerated, which misses a limit on it; all of it runs."""
    words = ("check", tiny.model, "--target", target)
    found = document(edgekit_command(*words, "--json", "--strict"))
    assert (found["verdict"], found["subgraphs"], found["violations"]) == ("fits", 0, [])
    assert {operator["placement"] for operator in found["operators"]} == {"cpu"}
    count, none = len(found["operators"]), dict.fromkeys(("mapped_operators", "mapped_macs", "mapped_params"), 0.0)
    assert found["totals"] == {"operators": count, "accelerator": 0, "not_known": 0, **none}
    shown = edgekit_command(*words).stdout
    assert re.search(r"^ *accelerator +none$", shown, re.MULTILINE)
    macs = sum(operator["macs"] for operator in found["operators"])
    assert re.search(rf"^ *CPU +{count} of {count} operators?, {macs:,} .*MACs", shown, re.MULTILINE)
    assert not re.search(r"^ *(accelerator|CPU|subgraphs) .*not known", shown, re.MULTILINE)
    assert document(edgekit_command(*words, "--json", "--min-mapped", "1%"), 1)["gates"][0]["result"] == "fail"


def test_precision_that_the_device_has_not(tiny: Any, boards: Path, edgekit_command: Command) -> None:
    done = edgekit_command("check", tiny.model, "-t", "my-board/int8", "--targets-dir", boards)
    assert (done.returncode, done.stdout) == (4, "")
    assert "no 8-bit integers (manual p. 7)" in done.stderr
    assert "my-board/fp16" in done.stderr


def test_format_that_the_route_does_not_take(boards: Path, edgekit_command: Command, shared_data: Shared) -> None:
    file = shared_data("models/cifar10_resnet8_float.tflite")
    done = edgekit_command("check", file, "-t", "my-board", "--targets-dir", boards)
    assert (done.returncode, done.stdout) == (4, "")
    assert "tflite" in done.stderr and "onnx" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model.onnx", "--target", "korral"], "coral"),
        (["missing.onnx", "--target", "coral"], "missing.onnx"),
        (["empty.tflite", "--target", "coral"], "empty.tflite"),
        (["text.tflite", "--target", "coral"], "text.tflite"),
        (["model.onnx", "--target", "onnxruntime-cpu", "--min-mapped", "95"], "95%"),
        (["model.onnx", "--target", "onnxruntime-cpu", "--min-mapped-macs", "most"], "--min-mapped-macs"),
        (["model.onnx", "--target", "onnxruntime-cpu", "--min-mapped", "nan"], "--min-mapped"),
        (["model.onnx"], "--target"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_wrong_command_lines(words: list[str], said: str, tiny: Any, edgekit_command: Command, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(tiny.model.read_bytes())
    (tmp_path / "empty.tflite").write_bytes(b"")
    (tmp_path / "text.tflite").write_text("not a model at all, only words")
    done = edgekit_command("check", *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert said in done.stderr


def test_recorded_answer_of_the_compiler_replaces_the_prediction(
    compiler: Callable[..., dict[str, str | None]], edgekit_command: Command, shared_data: Shared, tmp_path: Path
) -> None:
    """The recorded log and file of a YOLOv5: 240 of its operators were mapped."""
    folder = shared_data("coral")
    log = (folder / "yolov5n-int8_640_edgetpu.log").read_text()
    text = (
        f"Edge TPU Compiler version 16.0.384591198\nModel compiled successfully in 9 ms.\n{log}\nCompilation succeeded!"
    )
    env = compiler(text, folder / "yolov5n-int8_640_edgetpu.tflite")
    file = folder / "yolov5n-int8_640.tflite"
    found = document(edgekit_command("check", file, "-t", "coral", "--json", env=env, cwd=tmp_path))
    assert found["source"] == "compiler"
    assert found["totals"]["accelerator"] == 240
    assert (found["compiler"]["answered"], found["compiler"]["version"]) == (True, "16.0.384591198")
    assert "not on PATH" not in " ".join(found["notes"])
    assert not (tmp_path / "edgekit-out").exists()


def test_recorded_refusal_of_the_compiler(
    compiler: Callable[..., dict[str, str | None]], edgekit_command: Command, shared_data: Shared, tmp_path: Path
) -> None:
    env = compiler("Invalid model: detect.tflite\nModel not quantized\n")
    file = shared_data("models/cifar10_resnet8_int8.tflite")
    found = document(edgekit_command("check", file, "-t", "coral", "--json", env=env, cwd=tmp_path), 4)
    assert (found["source"], found["verdict"]) == ("compiler", "violates")
    assert "not_quantized" in [violation["rule"] for violation in found["violations"]]
    assert found["totals"]["accelerator"] == 0


def test_answer_in_no_known_form_is_kept_and_not_guessed_at(
    compiler: Callable[..., dict[str, str | None]], edgekit_command: Command, shared_data: Shared, tmp_path: Path
) -> None:
    env = compiler("Edge TPU Compiler version 99\nOperators: many\n")
    file = shared_data("models/cifar10_resnet8_int8.tflite")
    found = document(edgekit_command("check", file, "-t", "coral", "--json", env=env, cwd=tmp_path))
    assert found["source"] == "predicted"
    (note,) = (note for note in found["notes"] if "no answer that is understood" in note)
    assert found["compiler"]["answered"] is False
    assert found["compiler"]["said"] == ["Edge TPU Compiler version 99", "Operators: many"]
    kept = tmp_path / "edgekit-out/check/cifar10_resnet8_int8.edgetpu_compiler.txt"
    assert str(kept.relative_to(tmp_path)) in note
    assert "Operators: many" in kept.read_text()


def test_recorded_answer_of_the_compiler_as_a_step(
    compiler: Callable[..., dict[str, str | None]], edgekit_command: Command, shared_data: Shared, tmp_path: Path
) -> None:
    folder = shared_data("coral")
    log = (folder / "yolov5n-int8_640_edgetpu.log").read_text()
    compiled = folder / "yolov5n-int8_640_edgetpu.tflite"
    env = compiler(f"Model compiled successfully in 9 ms.\n{log}\nCompilation succeeded!", compiled)
    file = folder / "yolov5n-int8_640.tflite"
    done = edgekit_command("convert", file, "--to", "edgetpu", "--json", env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (output,) = json.loads(done.stdout)["outputs"]
    made = tmp_path / "edgekit-out" / "yolov5n-int8_640" / output["artifact"]["path"]
    assert (output["artifact"]["format"], output["output"]) == ("edgetpu", "edgetpu/int8")
    assert made.read_bytes() == compiled.read_bytes()


COMPILED = """\
edgekit: 1
model: model.onnx
data: {evaluate: {path: evaluate.npz}, calibrate: {path: calibrate.npz}}
task: classification
targets: {coral: {compile: true}}
"""


def test_compile_in_a_recipe(
    tiny: Any, compiler: Callable[..., dict[str, str | None]], edgekit_command: Command, tmp_path: Path
) -> None:
    for name in ("model.onnx", "evaluate.npz", "calibrate.npz"):
        (tmp_path / name).write_bytes((tiny.folder / name).read_bytes())
    (tmp_path / "compiled.yaml").write_text(COMPILED)
    words = ("run", "compiled.yaml", "--dry-run", "--json")
    plan = json.loads(edgekit_command(*words, cwd=tmp_path, env=compiler("")).stdout)
    assert [node["step"] for node in plan["nodes"]][-2:] == ["tflite_int8", "tflite_to_edgetpu"]
    assert plan["outputs"][0]["node"] == "tflite_to_edgetpu"
    absent = edgekit_command(*words[:2], cwd=tmp_path, env={"PATH": str(tmp_path)})
    assert (absent.returncode, absent.stdout) == (3, "")
    assert "edgetpu_compiler" in absent.stderr
    assert "coral.ai/docs/edgetpu/compiler" in absent.stderr
    assert "compiled.yaml:5" in absent.stderr
    other = edgekit_command(*words, "--set", "targets={onnxruntime-cpu: {compile: true}}", cwd=tmp_path)
    assert (other.returncode, json.loads(other.stdout)["error"]["code"]) == (4, "no_compiler")


RECIPE = """\
edgekit: 1
model: model.onnx
data: {evaluate: {path: evaluate.npz}}
task: classification
gates: {max_drop: 5.0, min_mapped_operators: 90%, min_mapped_macs: 90%}
targets: {my-board: {}, onnxruntime-cpu: {}}
"""


def test_placement_in_a_run(tiny: Any, boards: Path, edgekit_command: Command, tmp_path: Path) -> None:
    """A board with rules: gates on its placement are judged, without samples too. Where there are none, they are not
    measured."""
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    for name in ("model.onnx", "evaluate.npz"):
        (tmp_path / name).write_bytes((tiny.folder / name).read_bytes())
    words = ("run", "tiny.yaml", "--targets-dir", boards, "--json")
    for more in ((), ("--no-eval",)):
        done = edgekit_command(*words, *more, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        outputs = {output["target"]: output for output in json.loads(done.stdout)["outputs"]}
        placement = outputs["my-board"]["placement"]
        assert placement == {
            "source": "predicted",
            "verdict": "fits",
            "mapped_operators": 1.0,
            "mapped_macs": 1.0,
        }
        gates = {gate["gate"]: gate for gate in outputs["my-board"]["verdicts"]}
        assert gates["min_mapped_operators"]["result"] == gates["min_mapped_macs"]["result"] == "pass"
        assert outputs["onnxruntime-cpu"]["placement"] is None
        gates = {gate["gate"]: gate for gate in outputs["onnxruntime-cpu"]["verdicts"]}
        assert gates["min_mapped_operators"]["result"] == "not_measured"


def test_missed_placement_fails_a_run(tiny: Any, boards: Path, edgekit_command: Command, tmp_path: Path) -> None:
    """NVIDIA's list refuses Hardmax: of two operators one maps."""
    import onnx

    model = onnx.load(tiny.model)
    model.graph.node[0].output[0] = "sums"
    model.graph.node.append(onnx.helper.make_node("Hardmax", ["sums"], ["scores"]))
    onnx.save(model, tmp_path / "model.onnx")
    words = [
        "convert",
        "model.onnx",
        "-t",
        "my-board",
        "--targets-dir",
        boards,
        "--set",
        "gates.min_mapped_operators=90%",
    ]
    done = edgekit_command(*words, "--no-eval", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "min_mapped_operators" in done.stdout and "predicted" in done.stdout


def test_steps_that_change_nothing(edgekit_command: Command, tmp_path: Path) -> None:
    """Abs has a remedy, which the step applies to floats alone; of the steps that are named, those that find nothing
    to rewrite are marked, and so are those of --step."""
    from onnx import TensorProto, helper, save

    for name, kind in (("integer", TensorProto.INT32), ("float", TensorProto.FLOAT)):
        values = [helper.make_tensor_value_info(end, kind, [1, 4]) for end in ("x", "y")]
        graph = helper.make_graph([helper.make_node("Abs", ["x"], ["y"])], "g", values[:1], values[1:])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        save(model, tmp_path / f"{name}.onnx")

    def ask(name: str, *more: str) -> dict[str, Any]:
        done = edgekit_command("check", f"{name}.onnx", "-t", "ncs2", "--json", *more, cwd=tmp_path)
        return document(done, json.loads(done.stdout)["exit_code"])

    found = ask("integer")
    assert found["operators"][0]["remedy"].startswith("add the step onnx_replace_activations")
    assert found["operators"][0]["remedy"].endswith("(tried here: it finds nothing to rewrite)")
    taken = ask("integer", "--step", "onnx_replace_activations")
    assert taken["operators"][0]["remedy"].endswith("(taken already: it leaves this one)")
    assert (taken["next"], taken["idle"], taken["unchanged"]) == (None, [], ["onnx_replace_activations"])
    assert (found["next"], found["idle"]) == (None, ["onnx_replace_activations"])
    shown = edgekit_command("check", "integer.onnx", "-t", "ncs2", cwd=tmp_path).stdout
    assert "tried here: onnx_replace_activations finds nothing to rewrite in this model" in shown
    found = ask("float")
    assert found["next"] == "edgekit check float.onnx --target ncs2 --step onnx_replace_activations"
    assert (found["idle"], found["unchanged"]) == ([], [])
    cured = ask("float", "--step", "onnx_pool_means", "--step", "onnx_replace_activations")
    assert (cured["next"], cured["idle"], cured["unchanged"]) == (None, [], ["onnx_pool_means"])
    assert cured["steps"] == ["onnx_simplify", "onnx_pool_means", "onnx_replace_activations"]
    assert "Abs" not in {operator["type"] for operator in cured["operators"]}


@pytest.mark.parametrize("target", ["coral", "android-gpu", "jetson-nano"])
def test_an_operator_of_a_foreign_domain(target: str, onnx2tf: Path, edgekit_command: Command, tmp_path: Path) -> None:
    """No converter and no parser knows it, whatever is installed beside them."""
    from onnx import TensorProto, helper, save

    values = [helper.make_tensor_value_info(end, TensorProto.FLOAT, [1, 4]) for end in ("x", "y")]
    graph = helper.make_graph([helper.make_node("MyOp", ["x"], ["y"], domain="com.acme")], "g", values[:1], values[1:])
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("com.acme", 1)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "own.onnx")
    found = document(edgekit_command("check", "own.onnx", "-t", target, "--json", cwd=tmp_path), 4)
    assert found["verdict"] == "violates"
    reasons = [violation["message"] for violation in found["violations"]]
    reasons += [operator["reason"] for operator in found["operators"] if operator["reason"]]
    assert any("operator of the domain com.acme" in reason for reason in reasons)
    assert "pip install" not in json.dumps(found)


def test_a_step_of_the_route_that_settles_it_is_named(edgekit_command: Command, tmp_path: Path) -> None:
    """A file is judged as it is; a run simplifies it first, which folds what the plugin does not list."""
    from onnx import TensorProto, helper, numpy_helper, save

    values = [helper.make_tensor_value_info(end, TensorProto.FLOAT, [1, 4]) for end in ("x", "y")]
    nodes = [
        helper.make_node("ConstantOfShape", ["sizes"], ["zeros"]),
        helper.make_node("Concat", ["x", "zeros"], ["both"], axis=1),
        helper.make_node("Relu", ["both"], ["wide"]),
        helper.make_node("Slice", ["wide", "first", "last"], ["y"]),
    ]
    constants = {"sizes": [1, 4], "first": [0, 2], "last": [1, 6]}
    stored = [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], stored)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), tmp_path / "m.onnx")
    words = ["m.onnx", "--target", "ncs2"]
    found = json.loads(edgekit_command("check", *words, "--json", cwd=tmp_path).stdout)
    assert (found["verdict"], found["steps"]) == ("not_known", [])
    assert found["next"] == "edgekit check m.onnx --target ncs2 --step onnx_simplify"
    command = found["next"].split()
    assert document(edgekit_command(*command[1:], "--json", cwd=tmp_path))["verdict"] == "fits"
