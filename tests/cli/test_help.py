from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from edgekit.cli.main import COMMANDS, load_command

Command = Callable[..., subprocess.CompletedProcess[str]]

GROUPS = {
    "targets": ["list", "show", "validate"],
    "steps": ["list", "show"],
    "recipe": ["schema", "validate"],
    "toolchain": ["list", "install"],
    "cache": ["dir", "show", "clean"],
}
ALL = [[], *([name] for name in COMMANDS), *([name, sub] for name, subs in GROUPS.items() for sub in subs)]


@pytest.mark.parametrize("words", ALL, ids=lambda words: " ".join(words) or "edgekit")
def test_help_shows_an_example(words: list[str], edgekit_command: Command) -> None:
    done = edgekit_command(*words, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Example" in done.stdout
    assert f"\n    edgekit {' '.join(words)}".rstrip() in done.stdout.split("Example", 1)[1]
    assert "--help" in done.stdout


def test_the_table_of_commands_is_complete() -> None:
    for name in COMMANDS:
        command = load_command(name)
        assert command.name == name
        assert sorted(getattr(command, "commands", {})) == sorted(GROUPS.get(name, []))


def test_help_wins_over_a_wrong_command_line(edgekit_command: Command) -> None:
    done = edgekit_command("run", "--no-such-flag", "-h")
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: edgekit run")


def test_without_a_command_the_help_is_shown(edgekit_command: Command) -> None:
    assert edgekit_command().stdout == edgekit_command("--help").stdout


def test_version(edgekit_command: Command) -> None:
    import edgekit

    assert edgekit_command("--version").stdout == f"edgekit {edgekit.__version__}\n"


def test_help_imports_little() -> None:
    program = (
        "import json, sys\nfrom edgekit.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    sys.stderr.write(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    loaded = {name.split(".")[0] for name in json.loads(done.stderr)}
    assert not loaded & {"torch", "tensorflow", "onnx", "openvino", "pydantic", "numpy", "rich", "ruamel", "scipy"}
    edgekits = {name for name in json.loads(done.stderr) if name.startswith("edgekit.")}
    assert edgekits <= {
        "edgekit.cli",
        "edgekit.cli.main",
        "edgekit.cli.failure",
        "edgekit.cli.terminal",
        "edgekit.errors",
    }
