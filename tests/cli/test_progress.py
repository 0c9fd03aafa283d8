from __future__ import annotations

import time

import pytest

from edgekit.cli.progress import PlainProgress, TerminalProgress, event_line
from edgekit.engine.events import Event, Failed, Finished, Note, Progress, Started


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (Started("onnx_int8", "step", 1.25, "new"), "[    1.2 s] onnx_int8 ... (new)"),
        (Started("data", "prepare", 0.0), "[    0.0 s] data ..."),
        (Progress("data", "prepare", 1.0, 3, 4), None),
        (Note("evaluate: 60 samples", 1.0), "evaluate: 60 samples"),
        (
            Finished("onnx_int8", "step", 2.0, "done", 0.75, "new", {"artifact": {"bytes": 1234}}),
            "[    2.0 s] onnx_int8: done in 0.8 s, 1.23 kB",
        ),
        (
            Finished(
                "measure onnx_int8",
                "measure",
                2.0,
                "cached",
                result={
                    "measurement": {
                        "metric": "top1",
                        "value": 0.5,
                        "interval": [0.471, 0.529],
                        "share": True,
                        "agreement": 0.999,
                        "sqnr_db": 31.24,
                    }
                },
            ),
            "[    2.0 s] measure onnx_int8: cached, top1 50.0 % (47.1 .. 52.9), agreement 99.9 %, 31.2 dB",
        ),
        (Failed("onnx_int8", "step", 2.0, "skipped", "data failed"), "[    2.0 s] onnx_int8: skipped, data failed"),
    ],
)
def test_lines(event: Event, line: str | None) -> None:
    assert event_line(event) == line


def wait_for_lines(capsys: pytest.CaptureFixture[str], count: int) -> list[str]:
    """What was said, once it is so many lines; a minute is waited for them."""
    said = ""
    deadline = time.monotonic() + 60
    while len(said.splitlines()) < count and time.monotonic() < deadline:
        time.sleep(0.01)
        said += capsys.readouterr().err
    return said.splitlines()


def test_a_long_job_gives_signs_of_life(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainProgress(heartbeat=0.05) as listen:
        listen(Started("sleepy", "step", 0.0))
        listen(Progress("sleepy", "step", 0.0, 3, 12))
        said = wait_for_lines(capsys, 3)  # started, and two signs of life at least
        listen(Finished("sleepy", "step", 0.3, "done", 0.3))
        assert "sleepy: done" in capsys.readouterr().err
        time.sleep(0.2)
    assert all(line.startswith("still running: sleepy (") for line in said[1:])
    assert capsys.readouterr().err == ""  # nothing runs, nothing is said


def test_signs_of_life_say_how_far(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainProgress(heartbeat=0.05) as listen:
        listen(Started("sleepy", "step", 0.0))
        listen(Progress("sleepy", "step", 0.0, 3, 12))
        said = wait_for_lines(capsys, 2)
    assert said[1].startswith("still running: sleepy (")
    assert said[1].endswith(", 3 of 12)")


def test_what_waited_for_data_says_so_once() -> None:
    assert event_line(Failed("measure onnx_int8", "measure", 2.0, "skipped", "data failed")) is None
    assert event_line(Failed("measure onnx_int8", "measure", 2.0, "failed", "no runtime")) is not None


def test_bars_keep_their_place_and_say_how_far() -> None:
    """What the columns show of a job with a known end, and of one without; the shorter name is padded."""
    from edgekit.cli.bars import make_bars

    bars = make_bars()
    bars.add_task("measure tflite_int8@coral", total=None)
    bars.add_task("data", total=200, completed=137)
    name, far = bars.columns[1], bars.columns[3]
    assert [str(name(task)) for task in bars.tasks] == ["measure tflite_int8@coral", "data".ljust(25)]
    texts = [str(far(task)) for task in bars.tasks]
    assert "of" not in texts[0] and texts[1].startswith("137 of 200, ")


def test_a_run_from_the_cache_draws_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with TerminalProgress() as listen:
        listen(Finished("onnx_int8", "step", 0.1, "cached"))
        listen(Note("60 samples", 0.1))
    assert capsys.readouterr().err == "[    0.1 s] onnx_int8: cached\n60 samples\n\n"
