"""A toolchain's manifest: which wheels, of which version, with which hashes. One YAML file each in this package."""

from __future__ import annotations

import hashlib
import json
import sys
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints
from ruamel.yaml import YAML

from edgekit.errors import UnknownName

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$")]
Version = Annotated[str, StringConstraints(pattern=r"^[0-9][0-9a-z.]*$")]


class Wheel(BaseModel):
    """One distribution, pinned. ``sha256`` lists every file of that version that pip may pick, one per platform."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    version: Version
    sha256: tuple[Sha256, ...]

    @property
    def requirement(self) -> str:
        """The line of a requirements file, hashes included."""
        return " ".join([f"{self.name}=={self.version}", *(f"--hash=sha256:{value}" for value in self.sha256)])

    @property
    def metadata_folder(self) -> str:
        """The folder that an installed copy leaves beside its code."""
        return f"{self.name.replace('-', '_')}-{self.version}.dist-info"


class Manifest(BaseModel):
    """A toolchain: pinned wheels that are installed together, without what they declare to require, into one folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    version: Version
    title: str
    purpose: str
    python: str
    wheels: tuple[Wheel, ...]

    @property
    def sha256(self) -> str:
        """A hash of what would be installed; an installed folder carries it."""
        pinned = [wheel.model_dump() for wheel in self.wheels]
        return hashlib.sha256(json.dumps(pinned, sort_keys=True).encode()).hexdigest()

    @property
    def folder_name(self) -> str:
        """Versions, and Pythons (some wheels are built for one), live side by side: ``onnx2tf-2.6.9-cp311``."""
        return f"{self.name}-{self.version}-cp{sys.version_info.major}{sys.version_info.minor}"

    @property
    def requirements(self) -> str:
        """The text of the requirements file for pip."""
        return "".join(f"{wheel.requirement}\n" for wheel in self.wheels)


@cache
def load_manifests() -> dict[str, Manifest]:
    """{name: manifest} of every toolchain that edgekit knows, sorted by name."""
    yaml = YAML(typ="safe", pure=True)
    found = [Manifest.model_validate(yaml.load(path)) for path in Path(__file__).parent.glob("*.yaml")]
    return {manifest.name: manifest for manifest in sorted(found, key=lambda manifest: manifest.name)}


def get_manifest(name: str) -> Manifest:
    """The manifest of that name.

    Raises:
        UnknownName: there is no such toolchain.
    """
    manifests = load_manifests()
    if name not in manifests:
        raise UnknownName(
            f"no toolchain is called `{name}`",
            remedy=f"the toolchains are {', '.join(manifests)}",
            code="unknown_toolchain",
        )
    return manifests[name]
