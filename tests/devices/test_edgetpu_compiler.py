"""What the Edge TPU's compiler prints, from recorded output; and how it is called, by programs that print the same."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.devices import edgetpu_compiler
from edgekit.devices.edgetpu_compiler import (
    UNKNOWN_STATUS,
    compile_model,
    find_compiler,
    output_file,
    placement_from_report,
    remaining,
)
from edgekit.devices.edgetpu_report import Row, parse_report
from edgekit.devices.placement import Placed, Placement
from edgekit.devices.rules.edgetpu import NOT_COMPILED, predict
from edgekit.devices.rules.edgetpu_table import load_table
from edgekit.errors import AbsentError, StepError
from edgekit.formats.tflite import describe_model
from edgekit.formats.tflite_flatbuffer import read_model

STATUS = load_table().statuses

#: Recorded: compiler 16 on a detector of which it maps 264 of 267 operators.
PARTLY_MAPPED = """Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 1524 ms.

Input model: efficientdet_coral_v2.tflite
Input size: 4.24MiB
Output model: efficientdet_coral_v2_edgetpu.tflite
Output size: 5.57MiB
On-chip memory used for caching model parameters: 4.21MiB
On-chip memory remaining for caching model parameters: 3.29MiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
Total number of operations: 267
Operation log: efficientdet_coral_v2_edgetpu.log

Model successfully compiled but not all operations are supported by the Edge TPU. A percentage of the model will \
instead run on the CPU, which is slower. If possible, consider updating your model to use only operations supported by \
the Edge TPU. For details, visit g.co/coral/model-reqs.
Number of operations that will run on Edge TPU: 264
Number of operations that will run on CPU: 3
See the operation log file for individual operation details.
Compilation child process completed within timeout period.
Compilation succeeded!
"""

DYNAMIC = """Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.
ERROR: Attempting to use a delegate that only supports static-sized tensors with a graph that has dynamic-sized tensors.
Compilation failed: Model failed in Tflite interpreter. Please ensure model can be loaded/run in Tflite interpreter.
Compilation child process completed within timeout period.
Compilation failed!
"""

TOO_LARGE = """Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.
ERROR: Restored original execution plan after delegate application failure.
Compilation failed: Compilation failed due to large activation tensors in model.
Compilation child process completed within timeout period.
Compilation failed!
"""

#: Recorded failures of a few lines each, with the cause that they name first.
FAILURES = {
    "not_quantized": "Invalid model: detect.tflite\nModel not quantized\n",
    "version": "ERROR: Didn't find op for builtin opcode 'RESIZE_NEAREST_NEIGHBOR' version '3'\n\n"
    "ERROR: Registration failed.\n\nInvalid model: m.tflite\nModel could not be parsed\n",
    "unknown_operator": "ERROR: Op builtin_code out of range: 150. Are you using old TFLite binary with newer model?\n",
    "dynamic_shape": DYNAMIC,
    "activation_memory": TOO_LARGE,
    "select_operator": "ERROR: Regular TensorFlow ops are not supported by this interpreter. Make sure you apply/link "
    "the Flex delegate before inference.\nERROR: Node number 13 (FlexSplitV) failed to prepare.\n",
    "internal": "Internal compiler error. Aborting! \n",
    "custom_operator": "ERROR: Encountered unresolved custom op: Atan.\n"
    "ERROR: Node number 1 (Atan) failed to prepare.\n\n"
    "Compilation failed: Model failed in Tflite interpreter. Please ensure model can be loaded/run in Tflite "
    "interpreter.\nCompilation child process completed within timeout period.\nCompilation failed! \n",
    "failed": "Edge TPU Compiler version 16.0.384591198\nStarted a compilation timeout timer of 180 seconds.\n"
    "Compilation child process completed within timeout period.\nCompilation failed! \n",
}

OWN_TABLE = """
Operator                       Count      Status

LEAKY_RELU                     1          Operation not supported
FULLY_CONNECTED                1          More than one subgraph is not supported
FULLY_CONNECTED                1          Mapped to Edge TPU
"""


def test_a_summary():
    report = parse_report(PARTLY_MAPPED)
    assert (report.version, report.succeeded, report.unknown, report.failures) == ("16.0.384591198", True, (), ())
    (model,) = report.models
    assert (model.input, model.output) == ("efficientdet_coral_v2.tflite", "efficientdet_coral_v2_edgetpu.tflite")
    assert model.log == "efficientdet_coral_v2_edgetpu.log"
    assert model.figures == {
        "input_bytes": 4445962,
        "output_bytes": 5840568,
        "cached_parameter_bytes": 4414505,
        "remaining_bytes": 3449815,
        "streamed_parameter_bytes": 0,
        "subgraphs": 1,
        "operations": 267,
        "mapped": 264,
        "unmapped": 3,
    }


def test_every_recorded_log_is_understood(shared_data: Callable[[str], Path]):
    """Every status that was ever recorded is one of the table's; one of those was only seen in a forum."""
    logs = sorted(shared_data("coral").rglob("*.log"))
    assert len(logs) > 30
    seen: Counter[str] = Counter()
    for log in logs:
        report = parse_report(log.read_text())
        assert report.known
        assert report.unknown == ()
        assert len(report.models) == 1
        seen.update(row.status for row in report.models[0].rows)
    assert set(seen) == set(STATUS.values()) - {STATUS["constant"]}


@pytest.mark.parametrize("words", FAILURES)
def test_recorded_failures(words: str):
    report = parse_report(FAILURES[words])
    assert not report.succeeded
    assert report.unknown == ()
    assert words in [failure.words for failure in report.failures]
    assert all(failure.remedy and failure.source for failure in report.failures)
    placement = placement_from_report(report, of([("CONV_2D", "mapped")]))
    assert placement is not None
    assert words in [violation.rule for violation in placement.violations]
    assert (placement.source, placement.verdict(), placement.subgraphs) == ("compiler", "violates", 0)
    assert [one.status for one in placement.operators] == [NOT_COMPILED]


@pytest.mark.parametrize(
    ("head", "newer"),
    [
        ("Edge TPU Compiler version 2.0.258810407", True),
        ("", True),
        ("Edge TPU Compiler version 16.0.384591198", False),
    ],
)
@pytest.mark.parametrize(
    "line",
    [
        "Didn't find op for builtin opcode 'TILE' version '3'",
        "Internal compiler error. Aborting!",
        "Model could not be parsed",
        "terminating with uncaught exception of type std::out_of_range: vector",
    ],
)
def test_only_who_has_an_older_compiler_is_told_to_use_a_newer_one(line: str, head: str, newer: bool):
    (failure,) = parse_report(f"{head}\n{line}\n").failures
    assert failure.remedy.startswith("use compiler 16; ") == newer
    assert ("compiler" in failure.remedy) == newer, "something else is told too"


def test_several_models_at_once():
    report = parse_report(PARTLY_MAPPED + PARTLY_MAPPED.replace("coral_v2", "v3"))
    assert [model.input for model in report.models] == ["efficientdet_coral_v2.tflite", "efficientdet_v3.tflite"]
    assert placement_from_report(report, of([("CONV_2D", "mapped")])) is None


@pytest.mark.parametrize(
    "text", ["", "Segmentation fault\n", "Edge TPU Compiler version 17.0\nAll is well with 3 operators\n"]
)
def test_an_unknown_form_is_kept_and_no_answer(text: str):
    report = parse_report(text)
    assert not report.known
    assert report.text == text
    assert [line for line in text.splitlines() if "version" not in line] == list(report.unknown)
    assert placement_from_report(report, of([("CONV_2D", "mapped")])) is None


def test_a_status_that_nobody_has_seen_is_told_as_it_is():
    """Whether it means the chip, only the compiled file can tell."""
    text = OWN_TABLE.replace("Operation not supported", "Operation needs a new moon")
    report = parse_report(text + "a line of its own\n")
    predicted = of([("FULLY_CONNECTED", "mapped"), ("LEAKY_RELU", "operator"), ("FULLY_CONNECTED", "downstream")])
    assert placement_from_report(report, predicted) is None
    placement = placement_from_report(report, predicted, {("LEAKY_RELU", "t1"), ("FULLY_CONNECTED", "t2")})
    assert placement is not None
    assert placement.operators[1].status == "Operation needs a new moon"
    assert (placement.operators[1].cause, placement.operators[1].placement) == ("rejected", "cpu")
    assert placement.operators[1].reason == UNKNOWN_STATUS
    assert "not understood: a line of its own" in placement.notes


def test_a_new_status_of_operators_that_are_not_left_is_no_answer():
    text = OWN_TABLE.replace("Mapped to Edge TPU", "Mapped to something better")
    predicted = of([("FULLY_CONNECTED", "mapped"), ("LEAKY_RELU", "operator"), ("FULLY_CONNECTED", "downstream")])
    left = {("LEAKY_RELU", "t1"), ("FULLY_CONNECTED", "t2")}
    assert placement_from_report(parse_report(text), predicted, left) is None


@pytest.mark.parametrize(
    "head", ["Operator    Version    Status", "Operator  Count  Size  Status", "", "Op  Count  Status"]
)
def test_rows_below_another_head_are_not_read(head: str):
    """The second column may be anything: here it comes to the counts by chance."""
    report = parse_report(OWN_TABLE.replace("Operator                       Count      Status", head))
    assert not report.known
    assert len(report.unknown) == 3 + bool(head)


def test_rows_that_contradict_the_summary_are_no_answer():
    predicted = of([("FULLY_CONNECTED", "mapped"), ("LEAKY_RELU", "operator"), ("FULLY_CONNECTED", "downstream")])
    for line in ("Total number of operations: 4", "Number of operations that will run on Edge TPU: 2"):
        assert placement_from_report(parse_report(f"{line}\n{OWN_TABLE}"), predicted) is None
    fits = "Total number of operations: 3\nNumber of operations that will run on Edge TPU: 1\n"
    assert placement_from_report(parse_report(fits + OWN_TABLE), predicted) is not None


def test_many_lines_that_are_not_understood_are_counted():
    lines = "".join(f"line {number} \x1b[31m of a new kind\n" for number in range(1000))
    predicted = of([("FULLY_CONNECTED", "mapped"), ("LEAKY_RELU", "operator"), ("FULLY_CONNECTED", "downstream")])
    report = parse_report(lines + OWN_TABLE)
    assert (len(report.unknown), report.more_unknown) == (100, 900)
    told = placement_from_report(report, predicted)
    assert told is not None
    assert told.notes[-1] == "not understood: 995 lines more"
    assert all(note.isprintable() for note in told.notes)


# From counts to operators


def of(operators: list[tuple[str, str]]) -> Placement:
    """A prediction of (type, key of the status)."""
    return Placement(
        source="predicted",
        operators=tuple(
            Placed(
                index=index,
                type=kind,
                name=f"t{index}",
                placement="accelerator" if status == "mapped" else "cpu",
                status=STATUS[status],
                cause="mapped" if status == "mapped" else "downstream" if status == "downstream" else "rejected",
            )
            for index, (kind, status) in enumerate(operators)
        ),
        memory=dict.fromkeys(("parameter_bytes", "cached_parameter_bytes", "streamed_parameter_bytes")),
    )


def test_counts_that_the_prediction_comes_to():
    predicted = of([("FULLY_CONNECTED", "mapped"), ("LEAKY_RELU", "operator"), ("FULLY_CONNECTED", "downstream")])
    told = placement_from_report(parse_report(OWN_TABLE), predicted)
    assert told is not None
    assert told.source == "compiler"
    assert told.operators == predicted.operators


def test_counts_that_only_the_compiled_file_settles():
    predicted = of([("FULLY_CONNECTED", "mapped"), ("LEAKY_RELU", "mapped"), ("FULLY_CONNECTED", "mapped")])
    report = parse_report(OWN_TABLE)
    assert placement_from_report(report, predicted) is None
    told = placement_from_report(report, predicted, {("FULLY_CONNECTED", "t0"), ("LEAKY_RELU", "t1")})
    assert told is not None
    assert [one.placement for one in told.operators] == ["cpu", "cpu", "accelerator"]
    assert [one.status for one in told.operators] == [STATUS[key] for key in ("downstream", "operator", "mapped")]
    assert placement_from_report(report, predicted, {("LEAKY_RELU", "t1")}) is None, "the file and the table disagree"


def test_counts_of_another_model():
    assert placement_from_report(parse_report(OWN_TABLE), of([("FULLY_CONNECTED", "mapped")])) is None


def test_custom_operators_are_listed_as_custom():
    report = parse_report("Operator  Count  Status\nCUSTOM  1  Operation is working on an unsupported data type\n")
    told = placement_from_report(report, of([("TFLite_Detection_PostProcess", "data_type")]))
    assert told is not None
    assert report.models[0].rows == [Row("CUSTOM", 1, STATUS["data_type"])]


def test_a_real_log_with_its_files(shared_data: Callable[[str], Path]):
    folder = shared_data("coral")
    predicted = predict(describe_model(read_model(folder / "yolov5n-int8_640.tflite")))
    compiled = describe_model(read_model(folder / "yolov5n-int8_640_edgetpu.tflite"))
    report = parse_report((folder / "yolov5n-int8_640_edgetpu.log").read_text())
    told = placement_from_report(report, predicted, remaining(compiled))
    assert told is not None
    assert told.totals()["accelerator"] == 240
    assert [one.status for one in told.operators] == [one.status for one in predicted.operators]


# Calling it


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """An edgetpu_compiler on PATH that runs this Python; it notes its arguments in the file that is returned."""

    def install(body: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        notes = tmp_path / "calls"
        script = folder / "edgetpu_compiler"
        script.write_text(
            f"#!{sys.executable}\nimport pathlib, sys, time\narguments = sys.argv[1:]\n"
            f"with open({str(notes)!r}, 'a') as file:\n    print(*arguments, file=file)\n"
            "out = pathlib.Path(arguments[arguments.index('-o') + 1])\n"
            f"recorded, too_large = {PARTLY_MAPPED!r}, {TOO_LARGE!r}\n{body}\n"
        )
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return notes

    return install


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(b"model")
    return path


SUCCEED = "(out / 'model_edgetpu.tflite').write_bytes(b'compiled'); print(recorded)"


def test_recorded_output_of_a_call(program: Callable[[str], Path], model: Path, tmp_path: Path):
    notes = program(SUCCEED)
    made = compile_model(model, tmp_path / "out", timeout_seconds=60)
    assert made.compiled == tmp_path / "out" / "model_edgetpu.tflite"
    assert made.report.models[0].figures["mapped"] == 264
    assert not made.searched
    assert notes.read_text().split() == ["-s", "-t", "60", "-o", str(tmp_path / "out"), str(model)]


def test_recorded_failure_for_size_is_tried_again_with_a_search(
    program: Callable[[str], Path], model: Path, tmp_path: Path
):
    body = f"if '--search_delegate' not in arguments:\n    print(too_large); sys.exit(1)\nprint(too_large); {SUCCEED}"
    notes = program(body)
    made = compile_model(model, tmp_path / "out")
    assert made.searched
    assert made.compiled is not None
    assert len(notes.read_text().splitlines()) == 2


def test_recorded_failure_that_says_no_more(program: Callable[[str], Path], model: Path, tmp_path: Path):
    """Nothing but that it failed: the search is tried."""
    failed = f"print({FAILURES['failed']!r})"
    program(f"if '--search_delegate' not in arguments:\n    {failed}; sys.exit(1)\n{failed}; {SUCCEED}")
    made = compile_model(model, tmp_path / "out")
    assert (made.searched, made.unclear) == (True, None)
    assert made.compiled is not None


def test_recorded_failure_of_the_search_too(program: Callable[[str], Path], model: Path, tmp_path: Path):
    notes = program("print(too_large); sys.exit(1)")
    made = compile_model(model, tmp_path / "out")
    assert (made.searched, made.compiled) == (True, None)
    assert len(notes.read_text().splitlines()) == 2
    told = placement_from_report(made.report, of([("CONV_2D", "mapped")]))
    assert told is not None
    assert [violation.rule for violation in told.violations] == ["activation_memory"]


def test_recorded_failure_of_another_kind_is_not_tried_again(
    program: Callable[[str], Path], model: Path, tmp_path: Path
):
    notes = program(f"print({DYNAMIC!r}); sys.exit(1)")
    made = compile_model(model, tmp_path / "out")
    assert made.compiled is None
    assert [failure.words for failure in made.report.failures] == ["dynamic_shape", "interpreter", "failed"]
    assert len(notes.read_text().splitlines()) == 1


def test_a_compiler_that_does_not_end(
    program: Callable[[str], Path], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    program("print('at work', flush=True); time.sleep(600)")
    monkeypatch.setattr(edgetpu_compiler, "_GRACE", 0)
    with pytest.raises(StepError, match="did not end within 1 s"):
        compile_model(model, tmp_path / "out", timeout_seconds=1)
    assert output_file(tmp_path / "out").read_text() == "at work\n"


SEARCH_FAILS = {
    "unknown option": "print('Unknown flag --search_delegate'); sys.exit(1)",
    "crash": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "no end": "time.sleep(600)",
    "no file": "print(recorded)",
}


@pytest.mark.parametrize("way", SEARCH_FAILS)
def test_a_search_that_gives_no_answer_leaves_the_first_one(
    way: str, program: Callable[[str], Path], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    program(f"if '--search_delegate' not in arguments:\n    print(too_large); sys.exit(1)\n{SEARCH_FAILS[way]}")
    monkeypatch.setattr(edgetpu_compiler, "_GRACE", 0)
    made = compile_model(model, tmp_path / "out", timeout_seconds=2)
    assert (made.searched, made.compiled, made.unclear) == (False, None, None)
    assert made.report.failures[0].words == "activation_memory"
    assert "large activation tensors" in output_file(tmp_path / "out").read_text()


#: What the program does -> why that is no answer.
UNCLEAR = {
    "nothing": ("pass", "exit code 0, and says nothing"),
    "garbage": ("sys.stdout.buffer.write(bytes(range(256)) * 64)", "exit code 0, and says nothing"),
    "latin": ("sys.stdout.buffer.write('Mod\xe8le compil\xe9'.encode('latin-1'))", "exit code 0, and says nothing"),
    "huge": ("sys.stdout.write('x' * 5_000_000)", "more than 4 MiB"),
    "huge with an answer in it": ("print('x' * 5_000_000); print(recorded)", "more than 4 MiB"),
    "exit code": ("sys.exit(77)", "exit code 77, and says nothing"),
    "signal of a script": (
        "print('/usr/bin/edgetpu_compiler: line 3:  1531 Segmentation fault      (core dumped)'); sys.exit(139)",
        "exit code 139, as a script does after signal 11 (SIGSEGV)",
    ),
    "signal": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "signal 11 (SIGSEGV)"),
    "succeeds but for its exit code": (
        f"{SUCCEED}; sys.exit(3)",
        "says that it succeeded, but it ended with exit code 3",
    ),
    "succeeds but for its file": ("print(recorded)", "says that it succeeded, but wrote no model_edgetpu.tflite"),
    "an empty folder for a file": (
        "(out / 'model_edgetpu.tflite').mkdir(); print(recorded)",
        "but wrote no model_edgetpu",
    ),
    "a file without a word": ("(out / 'model_edgetpu.tflite').write_bytes(b'compiled')", "says nothing in a form"),
}


@pytest.mark.parametrize("what", UNCLEAR)
def test_output_that_is_no_answer(what: str, program: Callable[[str], Path], model: Path, tmp_path: Path):
    body, why = UNCLEAR[what]
    program(body)
    made = compile_model(model, tmp_path / "out")
    assert made.compiled is None
    assert made.unclear is not None and why in made.unclear
    assert output_file(tmp_path / "out").exists()


def test_the_name_that_the_compiler_tells(program: Callable[[str], Path], model: Path, tmp_path: Path):
    """Not that of the recorded output, nor one outside of the folder."""
    other = "recorded.replace('efficientdet_coral_v2_edgetpu.tflite', 'other.tflite')"
    program(f"(out / 'other.tflite').write_bytes(b'compiled'); print({other})")
    assert compile_model(model, tmp_path / "out").compiled == tmp_path / "out" / "other.tflite"


def test_a_model_behind_a_link(program: Callable[[str], Path], model: Path, tmp_path: Path):
    named = "(pathlib.Path(arguments[-1]).stem + '_edgetpu.tflite')"
    notes = program(SUCCEED.replace("'model_edgetpu.tflite'", named))
    link = tmp_path / "a link.tflite"
    link.symlink_to(model)
    assert compile_model(link, tmp_path / "out").compiled == tmp_path / "out" / "a link_edgetpu.tflite"
    assert notes.read_text().rstrip().endswith("a link.tflite")


def test_no_compiler(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_compiler() is None
    with pytest.raises(AbsentError) as caught:
        compile_model(model, tmp_path / "out")
    assert caught.value.exit_code == 3
    assert "coral.ai/docs/edgetpu/compiler" in (caught.value.remedy or "")
