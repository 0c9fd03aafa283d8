from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.cli.terminal import pairs, table

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_table_has_no_trailing_spaces() -> None:
    assert table(("a", "long"), [("xyz", ""), ("", "w")]) == "a    long\nxyz\n     w"


def test_pairs_keep_further_lines_below_the_first() -> None:
    assert pairs([("name", "one\ntwo"), ("b", "")]) == "name  one\n      two\nb"


def test_a_reader_that_leaves_is_no_error(edgekit_program: Path) -> None:
    process = subprocess.Popen(
        [edgekit_program, "targets", "show", "coral"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    said = process.stderr.read()
    assert (process.wait(timeout=60), said) == (0, b"")


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_error(edgekit_program: Path, tmp_path: Path, closed: str) -> None:
    """Nor do the files that are opened next get what was meant for the reader."""
    for words in ("targets list", "--help", "targets validate nothing.yaml"):
        done = subprocess.run(
            ["/bin/sh", "-c", f"{edgekit_program} {words} {closed}"], cwd=tmp_path, capture_output=True, check=False
        )
        assert done.returncode == (2 if "nothing" in words else 0), (words, done.stderr)
    assert list(tmp_path.iterdir()) == []


def test_usage_errors_have_the_same_form(edgekit_command: Command) -> None:
    done = edgekit_command("run")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: Missing argument")
    assert done.stderr.endswith("do: edgekit run --help\n")


def test_usage_errors_as_json(edgekit_command: Command) -> None:
    import json

    done = edgekit_command("run", "--jobs", "many", "x.yaml", "--json")
    assert (done.returncode, done.stderr) == (2, "")
    error = json.loads(done.stdout)["error"]
    assert (error["code"], error["exit_code"]) == ("usage", 2)


def test_unknown_command(edgekit_command: Command) -> None:
    done = edgekit_command("quantise")
    assert done.returncode == 2
    assert "no command is called `quantise`; did you mean `quantize`?" in done.stderr


@pytest.mark.parametrize(
    ("environment", "drawn"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"CI": "true"}, False), ({"TERM": "dumb"}, False)],
)
def test_only_a_terminal_is_drawn_on(
    environment: dict[str, str], drawn: bool, tiny: object, edgekit_program: Path, tmp_path: Path
) -> None:
    folder = tiny.folder  # type: ignore[attr-defined]
    command = [
        str(edgekit_program),
        "run",
        str(folder / "tiny.yaml"),
        "--no-cache",
        "--no-eval",
        "-o",
        str(tmp_path / "o"),
    ]
    command += ["--target", "onnxruntime-cpu/fp16"]
    said = _in_terminal(command, {"TERM": "xterm-256color", **environment})
    assert ("\x1b[" in said) == drawn
    assert "onnx_fp16" in said


def _in_terminal(command: list[str], environment: dict[str, str]) -> str:
    """What a command writes to a terminal of 80 columns."""
    main, child = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "CI", "TERM")}
    process = subprocess.Popen(
        command, stdin=child, stdout=child, stderr=child, env={**kept, **environment}, close_fds=True
    )
    os.close(child)
    said = b""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        ready, _, _ = select.select([main], [], [], 0.5)
        if ready:
            try:
                part = os.read(main, 65536)
            except OSError:
                break
            if not part:
                break
            said += part
        elif process.poll() is not None:
            break
    assert process.wait(timeout=10) == 0, said.decode()
    os.close(main)
    return said.decode()


def test_names_in_a_model_do_not_get_at_the_terminal(edgekit_command: Command, tmp_path: Path) -> None:
    """A name that would clear the screen, also by the one-byte form of its code; JSON keeps it, escaped."""
    import json

    import onnx

    name = "\x1b[2Jx\x9b2J\x7f"
    value = [onnx.helper.make_tensor_value_info(which, 1, [1, 4]) for which in (name, "y")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", [name], ["y"])], "g", value[:1], value[1:])
    onnx.save(
        onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 17)]),
        tmp_path / "m.onnx",
    )
    text = edgekit_command("inspect", tmp_path / "m.onnx").stdout
    assert "?[2Jx?2J? 1x4 float32" in text
    assert all(character.isprintable() or character == "\n" for character in text)
    said = edgekit_command("inspect", tmp_path / "m.onnx", "--json").stdout
    assert json.loads(said)["inputs"][0]["name"] == name
    assert all(character.isprintable() or character == "\n" for character in said)
