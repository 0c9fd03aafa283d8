"""What each kind of error prints and ends with."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from edgekit.cli.failure import error_text, exit_with, explain
from edgekit.errors import (
    AbsentError,
    BugError,
    EdgekitError,
    ExcludedError,
    InputError,
    Interrupted,
    Mistake,
    RecipeError,
    StepError,
    Terminated,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("x"), 2),
        (AbsentError("x"), 3),
        (ExcludedError("x"), 4),
        (StepError("x"), 5),
        (Interrupted("x"), 130),
        (Terminated("x"), 143),
        (KeyboardInterrupt(), 130),
        (OSError(errno.ENOSPC, "No space left on device", "big.bin"), 5),
        (PermissionError(errno.EACCES, "Permission denied", "/root/x"), 2),
        (RuntimeError("x"), 70),
        (MemoryError(), 70),
    ],
)
def test_exit_codes(error: BaseException, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_with(error, as_json=False) == code
    assert capsys.readouterr().err.startswith("error: ")


def test_at_most_four_lines() -> None:
    error = StepError("it\nfell  over\n", where="dense\n/1", remedy="stand\nup", log="logs/x.log")
    assert error_text(error) == ("error: it; fell  over\nwhere: dense; /1\ndo: stand; up\nlog: logs/x.log")


def test_mistakes_are_one_line_each() -> None:
    mistakes = [Mistake("a.yaml", 3, 5, "unknown key `x`"), Mistake("a.yaml", 9, 1, "no step is called `y`")]
    assert error_text(RecipeError("the recipe a.yaml has 2 mistakes", where="a.yaml", mistakes=mistakes)) == (
        "error: the recipe a.yaml has 2 mistakes\na.yaml:3:5: unknown key `x`\na.yaml:9:1: no step is called `y`"
    )


def test_names_in_a_model_cannot_move_the_cursor() -> None:
    assert "\x1b" not in error_text(StepError("operator \x1b[2J"))


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    error = RecipeError("wrong", mistakes=[Mistake("a.yaml", 3, 5, "unknown key")], code="invalid_recipe")
    assert exit_with(error, as_json=True) == 2
    written = capsys.readouterr()
    assert written.err == ""
    assert json.loads(written.out) == {
        "schema": "edgekit.error/1",
        "error": {
            "code": "invalid_recipe",
            "message": "wrong",
            "where": None,
            "remedy": None,
            "log": None,
            "exit_code": 2,
            "mistakes": [{"file": "a.yaml", "line": 3, "column": 5, "message": "unknown key"}],
        },
    }


@pytest.mark.parametrize("error", [ZeroDivisionError("division by zero"), BugError("no such job")])
def test_a_bug_leaves_a_log(error: Exception) -> None:
    try:
        raise error
    except Exception as raised:
        explained = explain(raised)
    assert isinstance(explained, EdgekitError)
    assert (explained.exit_code, explained.word) == (70, "bug")
    assert explained.log is not None
    log = Path(explained.log)
    assert type(error).__name__ in log.read_text()
    assert "test_a_bug_leaves_a_log" in log.read_text()
    log.unlink()
