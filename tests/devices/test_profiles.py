"""Finding profiles: edgekit's own and a user's folder, `extends`, names that clash."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgekit.devices import load_profiles, validate_profile
from edgekit.devices.profiles import own_folder
from edgekit.errors import InputError, RecipeError, UnknownName

PARENT = """\
name: parent
title: Parent
family: test
formats: {value: [onnx], source: manual}
precisions:
  fp16: &p
    weights: {value: float16, source: manual}
    activations: {value: float16, source: manual, note: fast}
    io: {value: [float32], source: manual}
  int8: *p
routes:
  fp16: [torch_to_onnx, onnx_fp16]
  int8: [torch_to_onnx, onnx_int8]
memory:
  total_bytes: {value: 4096, source: manual}
  usable_bytes: {unknown: the manual}
"""


def _write(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name.replace('_', '-')}.yaml").write_text(text)
    return folder


def test_extends_takes_over_what_is_not_said(tmp_path: Path) -> None:
    child = """\
name: child
extends: parent
title: Child
precisions:
  fp16:
    activations: {unknown: the manual}
routes:
  int8: [torch_to_onnx, onnx_int8]
memory:
  total_bytes: {value: 8192, source: another manual}
"""
    profiles = load_profiles(_write(tmp_path / "targets", parent=PARENT, child=child))
    profile = profiles["child"]
    assert (profile.title, profile.family, profile.formats.value) == ("Child", "test", ["onnx"])
    assert profile.precisions["fp16"].weights.value == "float16"
    # A fact is replaced whole: nothing of the parent's value, source or note is left in it.
    assert profile.precisions["fp16"].activations.model_dump(exclude_none=True) == {"unknown": "the manual"}
    assert profile.memory.total_bytes is not None
    assert profile.memory.total_bytes.value == 8192
    assert profile.memory.usable_bytes is not None
    assert not profile.memory.usable_bytes.known
    # Routes are replaced whole as well, and their first one is the default.
    assert list(profile.routes) == ["int8"]
    assert profile.default_precision == "int8"
    assert profiles["parent"].default_precision == "fp16"


def test_a_mistake_in_the_parent_is_told_in_the_parents_file(tmp_path: Path) -> None:
    folder = _write(
        tmp_path, parent=PARENT.replace("family: test", "family: 3"), child="name: child\nextends: parent\n"
    )
    with pytest.raises(RecipeError) as caught:
        load_profiles(folder)["child"]
    (mistake,) = caught.value.mistakes
    assert (mistake.file, mistake.line, mistake.column) == (str(folder / "parent.yaml"), 3, 9)


def test_a_profile_can_extend_edgekits_own(tmp_path: Path) -> None:
    folder = _write(tmp_path, my_coral="name: my-coral\nextends: coral\ntitle: Mine\n")
    assert [use.step for use in load_profiles(folder)["my-coral"].routes["int8"]][-1] == "tflite_int8"
    assert validate_profile(folder / "my-coral.yaml").title == "Mine"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a": "name: a\nextends: a\n"}, "`extends` goes in a circle: a -> a"),
        (
            {"a": "name: a\nextends: b\n", "b": "name: b\nextends: c\n", "c": "name: c\nextends: b\n"},
            "a -> b -> c -> b",
        ),
    ],
)
def test_extends_in_a_circle(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_profiles(_write(tmp_path, **files))["a"]
    (mistake,) = caught.value.mistakes
    assert message in mistake.message
    assert (mistake.line, mistake.column) == (2, 10)


def test_extends_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load_profiles(_write(tmp_path, a="name: a\nextends: corral\n"))["a"]
    assert [item.message for item in caught.value.mistakes] == ["no target is called `corral`; did you mean `coral`?"]


def test_two_profiles_of_one_name_are_refused_naming_both_files(tmp_path: Path) -> None:
    folder = _write(tmp_path, coral=PARENT.replace("name: parent", "name: coral"))
    with pytest.raises(InputError) as caught:
        load_profiles(folder)
    assert str(folder / "coral.yaml") in caught.value.message
    assert str(own_folder() / "coral.yaml") in caught.value.message
    assert caught.value.exit_code == 2


def test_the_environment_names_a_folder_and_an_argument_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named, given = _write(tmp_path / "named", parent=PARENT), _write(tmp_path / "given", other=PARENT)
    monkeypatch.setenv("EDGEKIT_TARGETS", str(named))
    assert "parent" in load_profiles()
    assert "other" in load_profiles(given)
    assert "parent" not in load_profiles(given)
    monkeypatch.setenv("EDGEKIT_TARGETS", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="nowhere"):
        load_profiles()


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    profiles = load_profiles(_write(tmp_path, broken="name: [", parent=PARENT))
    assert profiles["parent"].title == "Parent"
    assert set(profiles) == {*load_profiles(), "broken", "parent"}
    with pytest.raises(RecipeError, match="not YAML"):
        profiles["broken"]


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean `coral`"):
        load_profiles().find("corall")
    with pytest.raises(KeyError):
        load_profiles()["corall"]
    assert load_profiles().get("corall") is None


def test_own_profiles_are_looked_up_in_the_wheel_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "edgekit"
    (package / "devices").mkdir(parents=True)
    monkeypatch.setattr("edgekit.devices.profiles.__file__", str(package / "devices" / "profiles.py"))
    assert own_folder() == tmp_path / "targets"
    (package / "_targets").mkdir()
    assert own_folder() == package / "_targets"


def test_validate_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no target profile"):
        validate_profile(tmp_path / "x.yaml")


#: What is another device's, and must not come by `extends`: (profile, words that none of its facts may have).
FOREIGN = [
    ("coral-micro", ["USB", "Mendel"]),
    ("jetson-agx-orin", ["8.5", "Xavier", "fused off"]),
    ("jetson-orin-nano", ["8.5", "Xavier"]),
    ("jetson-orin-nx", ["8.5", "fused off"]),
    ("jetson-tx2", ["Jetson-Nano", "on the Nano", "tensorrt_demos", "4 GB of swap"]),
    ("kirin-970", ["this profile is for all of them"]),
    ("kirin-980", ["this profile is for all of them", "cnx-software", "wikichip"]),
    ("ncs", ["Neural Compute Engine, 2.5 MB", "1.4 TOPS", "without a stick"]),
    ("oak", ["stick"]),
    ("raspberry-pi-3", ["Pi 3 4", "Cortex-A72", "BCM2711", "Android"]),
    ("raspberry-pi-4", ["phone", "Android"]),
    ("raspberry-pi-5", ["Cortex-A72", "BCM2711", "Android", "1, 2, 4"]),
]


@pytest.mark.parametrize(("name", "words"), FOREIGN)
def test_no_fact_is_another_devices(name: str, words: list[str]) -> None:
    profile = load_profiles()[name]
    told = profile.model_dump_json(exclude={"reference", "handover"})
    assert [word for word in words if word in told] == []


@pytest.mark.parametrize("name", list(load_profiles()))
def test_what_is_unknown_says_where_it_was_looked_for(name: str) -> None:
    """A page, a repository, a document or a measurement; not only that devices differ."""

    def walk(value: object) -> list[str]:
        if isinstance(value, dict):
            own = [value["unknown"]] if value.get("unknown") else []
            return own + [text for child in value.values() for text in walk(child)]
        return [text for child in value for text in walk(child)] if isinstance(value, list) else []

    places = re.compile(r"\w\.\w|/|README|data sheet|compiler logs|measured|pages on")
    assert [text for text in walk(load_profiles()[name].model_dump()) if not places.search(text)] == []
