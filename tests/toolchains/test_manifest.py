"""The manifests: what they pin, and that a mistake in one is noticed."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from edgekit.errors import UnknownName
from edgekit.toolchains import Manifest, Wheel, get_manifest, load_manifests

HASH = "0" * 64


def make_manifest(**changes: object) -> Manifest:
    wheel = {"name": "some-tool", "version": "1.2", "sha256": [HASH]}
    written = {"name": "tool", "version": "1.2", "title": "t", "purpose": "p", "python": "3.11", "wheels": [wheel]}
    return Manifest.model_validate({**written, **changes})


def test_every_wheel_of_every_manifest_is_pinned_by_hash():
    assert "onnx2tf" in load_manifests()
    for name, manifest in load_manifests().items():
        assert manifest.name == name
        assert len({wheel.name for wheel in manifest.wheels}) == len(manifest.wheels) > 0
        for line in manifest.requirements.splitlines():
            requirement, *hashes = line.split()
            assert "==" in requirement
            assert hashes
            assert all(text.startswith("--hash=sha256:") and len(text) == 78 for text in hashes)


def test_onnx2tf_is_the_version_that_was_tested():
    wheels = {wheel.name: wheel.version for wheel in get_manifest("onnx2tf").wheels}
    assert wheels["onnx2tf"] == "2.6.9"
    assert {"sng4onnx", "sne4onnx", "onnxoptimizer", "opencv-python-headless", "tf-keras"} <= wheels.keys()


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UnknownName, match="no toolchain is called `onnx2tl`") as error:
        get_manifest("onnx2tl")
    assert "onnx2tf" in (error.value.remedy or "")
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"wheels": [{"name": "x", "version": "1", "sha256": ["abc"]}]},
        {"wheels": [{"name": "x", "version": ">=1", "sha256": [HASH]}]},
        {"wheels": [{"name": "x; rm", "version": "1", "sha256": [HASH]}]},
        {"wheel": []},
        {"name": "../up"},
    ],
)
def test_a_mistake_is_refused(changes: dict[str, object]):
    with pytest.raises(ValidationError):
        make_manifest(**changes)


def test_the_folder_is_named_by_version_and_another_hash_is_another_manifest():
    first = make_manifest()
    other = make_manifest(wheels=[{"name": "some-tool", "version": "1.2", "sha256": ["1" * 64]}])
    assert "1.2" in first.folder_name
    assert first.sha256 != other.sha256
    assert first.sha256 == make_manifest(title="another title").sha256


def test_the_metadata_folder_is_spelled_as_pip_spells_it():
    assert Wheel(name="tf-keras", version="2.21.0", sha256=(HASH,)).metadata_folder == "tf_keras-2.21.0.dist-info"
