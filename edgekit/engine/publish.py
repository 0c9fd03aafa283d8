"""The output folder: what edgekit wrote there, and nothing else, is edgekit's to replace.

    OUT/.edgekit-out.json     {file: what it belongs to}: an output (``coral/int8``) or ``run``
    OUT/ENTRY/                the good files and their sidecars;  ENTRY/rejected/  those that missed a gate
    OUT/steps/  OUT/logs/     what lies between, and what the libraries said
    OUT/report.json ...       written by ``cli``

A file is written beside its place and renamed. It is a reflink or a copy of what is in the cache, never a hard link, so
that nothing done to it changes the cache.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgekit.artifact import Artifact, hash_files
from edgekit.engine.faults import is_disk_full
from edgekit.engine.files import check_writable, copy_atomically, write_atomically
from edgekit.engine.tails import sidecar_tail, tail_name
from edgekit.errors import InputError
from edgekit.plan import Output, Plan

MANIFEST = ".edgekit-out.json"
SCHEMA = "edgekit.out/1"
RUN = "run"  # what belongs to the run as a whole
REPORTS = ("report.json", "junit.xml", "summary.md", "recipe.resolved.yaml")


def _unusable(error: OSError, what: str) -> Exception:
    """The same error for a full disk, else an InputError that says what cannot be done."""
    if is_disk_full(error):
        return error
    return InputError(
        f"{what}: {error.strerror}",
        where=None if error.filename is None else str(error.filename),
        remedy="choose another one with --out",
        code="unusable_path",
    )


class OutputFolder:
    """``folder`` as far as it is edgekit's. Making one only looks; ``begin`` is the first to write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._files = self._read_manifest()

    def begin(self, plan: Plan) -> None:
        """Remove the files of the outputs that are to be made, and the old reports and logs of this plan.

        Raises:
            InputError: the folder, or a file that would have to be replaced, is somebody else's.
        """
        self._refuse_strangers(plan)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unusable(error, f"the output folder {self.folder} cannot be made") from error
        try:
            self._clear(plan)
        except OSError as error:
            raise _unusable(error, f"the output folder {self.folder} cannot be written to") from error

    def _clear(self, plan: Plan) -> None:
        check_writable(self.folder / MANIFEST)
        made = {output.name for output in plan.outputs} | {RUN}
        for name, owner in list(self._files.items()):
            if owner in made:
                (self.folder / name).unlink(missing_ok=True)
                del self._files[name]
        # Before the first of them is written, so that a killed run leaves nothing that is not listed.
        logs = [f"logs/{node.id}.log" for node in plan.nodes] + [f"logs/measure-{node.id}.log" for node in plan.nodes]
        logs += [f"logs/{name}.log" for name in ("source", "data", "reference")]
        self._list([*REPORTS, *logs], RUN)

    def publish(
        self, plan: Plan, output: Output, artifact: Artifact, sidecar: dict[str, Any], rejected: bool
    ) -> Artifact:
        """Put an output's file and sidecar in place; returns the artifact as it lies there."""
        place = f"{output.entry}/rejected" if rejected else output.entry
        stem = file_stem(plan, output)
        names = [*_names(place, stem, artifact), f"{place}/{stem}.edgekit.json"]
        self._list(names, output.name)
        try:
            there = self._copy(artifact, self.folder / place, stem)
            write_sidecar(self.folder / place / f"{stem}.edgekit.json", there, sidecar)
        except OSError:  # all of an output or nothing: half an IR or a file without its sidecar helps nobody
            for name in names:
                (self.folder / name).unlink(missing_ok=True)
            raise
        return there

    def publish_step(self, id: str, artifact: Artifact) -> Artifact:
        """Put what a node made into ``steps/``."""
        self._list(_names("steps", id, artifact), RUN)
        return self._copy(artifact, self.folder / "steps", id)

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def finish(self) -> None:
        """Forget what was listed but not written, and leave no empty folder."""
        self._files = {name: owner for name, owner in self._files.items() if name in REPORTS or self._has(name)}
        self._write_manifest()
        for name in ("steps", "logs"):
            with contextlib.suppress(OSError):
                (self.folder / name).rmdir()

    def _has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def _copy(self, artifact: Artifact, folder: Path, stem: str) -> Artifact:
        folder.mkdir(parents=True, exist_ok=True)
        copied = []
        for source in files_beside(artifact):
            target = folder / (stem + source.name[len(artifact.path.stem) :])
            copy_atomically(source, target)
            copied.append(target)
        main = folder / (stem + artifact.path.suffix)
        tail = None if artifact.tail is None else replace(artifact.tail, path=folder / tail_name(main))
        # The hash of several files covers their names, which are others now.
        own = [file for file in copied if tail is None or file != tail.path]
        sha256 = artifact.sha256 if len(own) == 1 else hash_files(own)[0]
        return replace(artifact, path=main, sha256=sha256, tail=tail)

    def _refuse_strangers(self, plan: Plan) -> None:
        if self.folder.is_file():
            raise InputError(
                f"{self.folder} is a file, not a folder",
                where=str(self.folder),
                remedy="choose another one with --out",
                code="foreign_folder",
            )
        if not self.folder.exists():
            return
        if not (self.folder / MANIFEST).exists() and any(self.folder.iterdir()):
            raise InputError(
                f"the output folder {self.folder} holds files that edgekit did not write",
                where=str(self.folder),
                remedy="choose another one with --out, or empty it",
                code="foreign_folder",
            )
        stems = {(output.entry, file_stem(plan, output)) for output in plan.outputs}
        for entry, stem in stems:
            for place in (self.folder / entry, self.folder / entry / "rejected"):
                self._refuse_stranger(place, stem)
        for name in REPORTS:
            self._refuse_stranger(self.folder, name)

    def _refuse_stranger(self, place: Path, stem: str) -> None:
        for path in place.glob(f"{stem}*") if place.is_dir() else ():
            same = path.name == stem or path.name.startswith(f"{stem}.")
            if same and path.relative_to(self.folder).as_posix() not in self._files:
                raise InputError(
                    f"{path} is in the way, and edgekit did not write it",
                    where=str(path),
                    remedy="move it away, or choose another folder with --out",
                    code="foreign_file",
                )

    def _read_manifest(self) -> dict[str, str]:
        try:
            known = json.loads((self.folder / MANIFEST).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError):
            known = None
        if not isinstance(known, dict) or known.get("schema") != SCHEMA or not isinstance(known.get("files"), dict):
            raise InputError(
                f"{self.folder / MANIFEST} cannot be read as edgekit's list of what it wrote",
                where=str(self.folder / MANIFEST),
                remedy="choose another folder with --out, or empty this one",
                code="foreign_folder",
            )
        inside = {str(name): str(owner) for name, owner in known["files"].items()}
        return {name: owner for name, owner in inside.items() if _is_inside(name)}

    def _list(self, names: Iterable[str], owner: str) -> None:
        added = {name: owner for name in names if self._files.get(name) != owner}
        if added:
            self._files.update(added)
            self._write_manifest()

    def _write_manifest(self) -> None:
        content = {"schema": SCHEMA, "files": dict(sorted(self._files.items()))}
        write_atomically(self.folder / MANIFEST, json.dumps(content, indent=1).encode() + b"\n")


def file_stem(plan: Plan, output: Output) -> str:
    """What an output's file is called before its suffix: ``lite0-coral-int8``."""
    return f"{plan.name}-{output.entry}-{output.precision}"


def files_beside(artifact: Artifact) -> list[Path]:
    """The artifact's files and its tail: all that lie with it, since a cache entry holds nothing else."""
    return sorted(path for path in artifact.path.parent.iterdir() if path.is_file())


def write_sidecar(file: Path, artifact: Artifact, content: dict[str, Any]) -> None:
    """Write a sidecar, which says of the artifact beside it what it is and how to feed it."""
    files = [
        {"file": path.name, "bytes": path.stat().st_size, "sha256": hash_files([path])[0]}
        for path in sorted(file.parent.glob(f"{artifact.path.stem}.*"))
        if path != file
    ]
    whole = {
        "schema": "edgekit.sidecar/1",
        "artifact": {
            "file": artifact.path.name,
            "format": artifact.format,
            "bytes": artifact.bytes,
            "sha256": artifact.sha256,
            "files": files,
        },
        **content,
        "tail": sidecar_tail(artifact.tail),
    }
    write_atomically(file, json.dumps(whole, indent=2, ensure_ascii=False).encode() + b"\n")


def _names(place: str, stem: str, artifact: Artifact) -> list[str]:
    return [f"{place}/{stem}{path.name[len(artifact.path.stem) :]}" for path in files_beside(artifact)]


def _is_inside(name: str) -> bool:
    path = Path(name)
    return not path.is_absolute() and ".." not in path.parts
