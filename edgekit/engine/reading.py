"""The tasks that read what the user gives: the source model, and the samples."""

from __future__ import annotations

from pathlib import Path

from edgekit.engine.keys import ABSENT, Inputs, key_of, versions_of
from edgekit.engine.tails import told_inputs, told_of
from edgekit.engine.task import DoneTasks, Job, Result, Surroundings, Task, plain
from edgekit.errors import AbsentError, InputError
from edgekit.plan import Data, DataSource, complete_data


class SourceTask(Task):
    """Reads the io of the source model, and looks for NaN in its weights."""

    def __init__(self, around: Surroundings) -> None:
        source = around.plan.source
        traits = around.format(source.format)
        super().__init__("source", "read", traits.stack, f"reading {source.file.name}")
        self._around, self._source, self._traits = around, source, traits
        self._files: list[str] | None = None
        #: A finished file may be a source: what its sidecar says of its tail.
        self._told = None if source.factory else told_of(source.file)

    def inputs(self, done: DoneTasks) -> Inputs:
        source, memo = self._source, self._around.cache.memo
        self._check_present()
        if self._files is None:
            self._files = self._known_files()
        return {
            **told_inputs(source.file, self._told, memo),
            "kind": "source",
            "format": source.format,
            "factory": source.factory,
            "options": source.options,
            "file": memo.hash_file(source.file) if source.file.is_file() else memo.hash_folder(source.file),
            "files": self._file_hashes(),
            "weights": None if source.weights is None else memo.hash_file(source.weights),
            "declared": source.inputs,
            "requires": versions_of(source.requires),
            "versions": versions_of(self._traits.requires),
        }

    def check(self, inputs: Inputs) -> None:
        super().check(inputs)
        absent = [name for name, version in inputs["requires"].items() if version == ABSENT]
        if absent:
            raise AbsentError(
                f"the model requires {', '.join(absent)}, not installed here",
                where=str(self._source.file),
                remedy=self._source.weights_get or f"pip install {' '.join(absent)}",
                code="package_absent",
            )

    def job(self, done: DoneTasks) -> Job:
        return {"kind": "read_source", **plain(self._source), "sidecar": self._told}

    def learn(self, result: Result) -> None:
        """Which files belong to the model is known only to its format: keep the list by the hash of the main file."""
        self._files = result["files"]
        if self._files is not None and len(self._files) > 1:
            self._around.cache.put("files", self._listing_inputs(), {"files": self._files}, None)

    def settle(self, result: Result, folder: Path) -> Result:
        """An equal model may have been read elsewhere: the paths are those of this run."""
        artifact = {**result["artifact"], "path": str(self._source.file)}
        if artifact.get("build"):
            weights = None if self._source.weights is None else str(self._source.weights)
            artifact["build"] = {**artifact["build"], "weights": weights}
        if artifact.get("tail"):
            there = self._source.file.with_name(Path(artifact["tail"]["path"]).name)
            artifact["tail"] = {**artifact["tail"], "path": str(there)}
        return {**result, "artifact": artifact}

    def _check_present(self) -> None:
        source = self._source
        if not source.file.exists():
            raise InputError(f"no model file at {source.file}", where=str(source.file), code="missing_file")
        if source.weights is None or source.weights.exists():
            return
        if source.weights_get:
            raise AbsentError(
                f"the weights {source.weights} are not here",
                where=str(source.weights),
                remedy=source.weights_get,
                code="weights_absent",
            )
        raise InputError(f"no weights at {source.weights}", where=str(source.weights), code="missing_file")

    def _listing_inputs(self) -> Inputs:
        main = self._source.file
        return {"kind": "files", "name": main.name, "file": self._around.cache.memo.hash_path(main)}

    def _known_files(self) -> list[str]:
        entry, _ = self._around.cache.find(key_of(self._listing_inputs()))
        return [self._source.file.name] if entry is None else list(entry.result["files"])

    def _file_hashes(self) -> dict[str, str]:
        folder = self._source.file.parent
        paths = {name: folder / name for name in self._files or () if name != self._source.file.name}
        memo = self._around.cache.memo
        return {name: memo.hash_file(path) if path.is_file() else ABSENT for name, path in paths.items()}


class DataTask(Task):
    """Prepares the samples of the roles that this run needs."""

    def __init__(self, around: Surroundings, roles: tuple[str, ...]) -> None:
        super().__init__("data", "prepare", "data", "preparing the data", ("source",), remember_hashes=True)
        self._around, self._roles = around, roles

    def inputs(self, done: DoneTasks) -> Inputs:
        data = self._data(done)
        sources = {"split": data.split, "evaluate": data.evaluate, "calibrate": data.calibrate}
        return {
            "kind": "data",
            "roles": list(self._roles),
            "preprocess": list(data.preprocess),
            "sources": {
                role: self._source_inputs(source)
                for role, source in sources.items()
                if source is not None and (role == "split" or role in self._roles)
            },
            "inputs": done["source"].result["artifact"]["io"]["inputs"],
            "task": self._around.task_inputs(),
            "seed": self._around.plan.seed,
            "versions": versions_of(("numpy", "pillow")),
        }

    def check(self, inputs: Inputs) -> None:
        super().check(inputs)
        for source in inputs["sources"].values():
            absent = [name for name, version in source["requires"].items() if version == ABSENT]
            if absent:
                raise AbsentError(
                    f"the data require {', '.join(absent)}, not installed here",
                    where=source["path"],
                    remedy=f"pip install {' '.join(absent)}",
                    code="package_absent",
                )

    def job(self, done: DoneTasks) -> Job:
        io = done["source"].result["artifact"]["io"]
        return {
            "kind": "prepare_data",
            "data": plain(self._data(done)),
            "io": io,
            "task": self._around.task_job(),
            "roles": list(self._roles),
            "seed": self._around.plan.seed,
        }

    def _data(self, done: DoneTasks) -> Data:
        """The plan's data, a preset spelled out for the model's input."""
        data = self._around.plan.data
        assert data is not None
        return complete_data(data, done["source"].artifact.io)

    def _source_inputs(self, source: DataSource) -> Inputs:
        if not source.path.exists():
            raise InputError(f"there are no data at {source.path}", where=str(source.path), code="missing_data")
        memo = self._around.cache.memo
        # A COCO listing names pictures that lie beside it.
        listed = source.path.suffix.lower() == ".json"
        return {
            "path": source.path.name,
            "content": memo.hash_folder(source.path.parent) if listed else memo.hash_path(source.path),
            "factory": source.factory,
            "options": source.options,
            "requires": versions_of(source.requires),
            "samples": source.samples,
            "seed": source.seed,
        }
