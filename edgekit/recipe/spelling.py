"""Short forms spelled out, variables filled in, paths made absolute: from the recipe as written to its full form."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edgekit.devices.profiles import spell_out_use
from edgekit.documents import UNFILLED, Node
from edgekit.errors import Mistake
from edgekit.recipe.paths import folder_of_package, split_factory
from edgekit.recipe.shares import read_gates
from edgekit.registry import did_you_mean
from edgekit.validation import show

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_SPLIT_KEYS = ("path", "options", "requires", "samples", "seed")
_TASK_KEYS = ("name", "labels")


@dataclass(frozen=True)
class Folders:
    """What relative paths start from: the file's folder, and for ``--set`` the working folder."""

    file: Path
    flags: Path


def fill_in(tree: Node, mistakes: list[Mistake]) -> set[int]:
    """Put the values of ``vars`` for every ``${NAME}``. The ids of the nodes whose text began with a variable (their
    paths are relative to the file, wherever the text stood) are given back."""
    variables = tree.get("vars")
    known: dict[str, Node] = {}
    if variables is not None and isinstance(variables.value, dict):
        known = dict(variables.value)
        for node in known.values():
            if isinstance(node.value, str) and _VARIABLE.search(node.value):
                mistakes.append(node.place.mistake("a variable cannot be made of other variables"))
    led: set[int] = set()
    for key, part in tree.value.items():
        if key == "vars":
            continue
        for node in part.walk():
            if isinstance(node.value, str) and "${" in node.value:
                if node.value.startswith("${"):
                    led.add(id(node))
                _fill_one(node, known, mistakes)
    return led


def _fill_one(node: Node, known: dict[str, Node], mistakes: list[Mistake]) -> None:
    text = node.value
    for name in _VARIABLE.findall(text):
        if name not in known:
            near = did_you_mean(name, known) or f"; `vars` has {', '.join(known) or 'none'}"
            mistakes.append(node.place.mistake(f"`vars` has no `{name}`{near}"))
            node.value = UNFILLED
            return
        if isinstance(known[name].value, dict | list) or known[name].value is None:
            mistakes.append(
                node.place.mistake(f"the variable `{name}` is {show(known[name].plain())}, not text or a number")
            )
            node.value = UNFILLED
            return
    whole = _VARIABLE.fullmatch(text)
    if whole:
        node.value = known[whole[1]].value
    else:
        node.value = _VARIABLE.sub(lambda match: _as_text(known[match[1]].value), text)


def _as_text(value: object) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def find_unfilled(tree: Node, mistakes: list[Mistake], path: tuple[str, ...] = ()) -> None:
    """Tell every ``???`` that ``edgekit init``, or a recipe for anybody's data, left to be filled in."""
    if tree.value == UNFILLED:
        where = ".".join(path)
        message = f"`{where}` is not filled in: write it instead of ???, or give --set {where}=VALUE"
        mistakes.append(tree.place.mistake(message))
    elif isinstance(tree.value, dict | list):
        children = tree.value.items() if isinstance(tree.value, dict) else enumerate(tree.value)
        for key, child in children:
            find_unfilled(child, mistakes, (*path, str(key)))


def spell_out(tree: Node, mistakes: list[Mistake]) -> None:
    """Bring every section but ``preprocess`` into its full form; what has the wrong type is left to the schema."""
    _wrap(tree, "model", "file")
    model = tree.get("model")
    if model is not None and isinstance(model.value, dict):
        _wrap(model, "weights", "path")
    _spell_out_data(tree, mistakes)
    _spell_out_task(tree)
    if "gates" in tree.value:
        tree.set("gates", read_gates(tree.value["gates"], mistakes), tree.key_place("gates"))
    steps = tree.get("steps")
    if steps is not None and isinstance(steps.value, list):
        steps.value = [_with_gates(spell_out_use(item, mistakes), mistakes) for item in steps.value]
    _spell_out_targets(tree, mistakes)


def _wrap(tree: Node, section: str, key: str) -> None:
    """``section: text`` as ``section: {key: text}``."""
    node = tree.get(section)
    if node is not None and isinstance(node.value, str):
        full = Node({}, node.place, flag=node.flag)
        full.set(key, node)
        tree.set(section, full, tree.key_place(section))


def _spell_out_data(tree: Node, mistakes: list[Mistake]) -> None:
    _wrap(tree, "data", "path")
    data = tree.get("data")
    if data is None or not isinstance(data.value, dict):
        return
    if "split" in data.value:
        mistakes.append(data.key_place("split").mistake("unknown key `split`; `data: {path: ...}` is split by itself"))
        del data.value["split"]
    if any(key in data.value for key in _SPLIT_KEYS):
        split = Node({}, data.place, flag=data.flag)
        for key in _SPLIT_KEYS:
            if key in data.value:
                split.set(key, data.value.pop(key), data.keys.get(key))
        data.set("split", split)
    for role in ("evaluate", "calibrate"):
        _wrap(data, role, "path")


def _spell_out_task(tree: Node) -> None:
    _wrap(tree, "task", "name")
    task = tree.get("task")
    if task is None or not isinstance(task.value, dict):
        return
    options = Node({}, task.place)
    for key in [key for key in task.value if key not in _TASK_KEYS]:
        options.set(key, task.value.pop(key), task.keys.get(key))
    task.set("options", options)


def _with_gates(use: Node, mistakes: list[Mistake]) -> Node:
    """``{step, options: {..., gates}}`` with ``gates`` beside ``options``."""
    options = use.get("options")
    if options is not None and isinstance(options.value, dict) and "gates" in options.value:
        place = options.key_place("gates")
        options.value = dict(options.value)
        use.set("gates", read_gates(options.value.pop("gates"), mistakes), place)
    return use


def _spell_out_targets(tree: Node, mistakes: list[Mistake]) -> None:
    targets = tree.get("targets")
    if targets is None:
        return
    if isinstance(targets.value, list):
        tree.set("targets", _targets_from_list(targets, mistakes), tree.key_place("targets"))
        targets = tree.value["targets"]
    if not isinstance(targets.value, dict):
        return
    for name, entry in targets.value.items():
        if entry.value is None:
            targets.value[name] = Node({}, entry.place)
        if isinstance(entry.value, dict):
            _spell_out_entry(entry, mistakes)


def _targets_from_list(targets: Node, mistakes: list[Mistake]) -> Node:
    full = Node({}, targets.place, flag=targets.flag)
    for item in targets.value:
        if isinstance(item.value, str):
            name, entry, place = item.value, Node({}, item.place, flag=item.flag), item.place
        elif isinstance(item.value, dict) and len(item.value) == 1:
            name = next(iter(item.value))
            entry, place = item.value[name], item.key_place(name)
        else:
            mistakes.append(item.place.mistake("an item of `targets` is a name, or {NAME: {...}}"))
            continue
        if name in full.value:
            mistakes.append(place.mistake(f"`{name}` stands in `targets` twice"))
        else:
            full.set(name, entry, place)
    return full


def _spell_out_entry(entry: Node, mistakes: list[Mistake]) -> None:
    precision = entry.get("precision")
    if precision is not None and isinstance(precision.value, str):
        entry.set("precision", Node([precision], precision.place, flag=precision.flag), entry.key_place("precision"))
    if "gates" in entry.value:
        entry.set("gates", read_gates(entry.value["gates"], mistakes), entry.key_place("gates"))
    options = entry.get("options")
    if options is None or not isinstance(options.value, dict):
        return
    for step, chosen in list(options.value.items()):
        place = options.key_place(step)
        if not isinstance(chosen.value, dict):
            mistakes.append(chosen.place.mistake(f"the options of `{step}` are a map, not {show(chosen.plain())}"))
            del options.value[step]
            continue
        use = Node({}, chosen.place)
        use.set("step", Node(step, place), place)
        use.set("options", chosen, place)
        options.set(step, _with_gates(use, mistakes), place)


def make_paths_absolute(tree: Node, folders: Folders, led: set[int]) -> None:
    """Make the recipe's paths absolute: from ``base`` (the file's own folder where it says none, which is then put
    there), or from the working folder where a flag wrote them."""
    folders = Folders(_base(tree, folders, led), folders.flags)
    for path in (
        ("model", "file"),
        ("model", "weights", "path"),
        ("data", "split", "path"),
        ("data", "evaluate", "path"),
        ("data", "calibrate", "path"),
        ("task", "labels"),
    ):
        node = tree.get(*path)
        if node is None or not isinstance(node.value, str) or node.value in ("", UNFILLED):
            continue
        folder = folders.flags if node.flag and id(node) not in led else folders.file
        if path == ("model", "weights", "path") and not node.flag:
            package = tree.get("model", "weights", "package")
            folder = folder_of_package(package.value if package is not None else None) or folder
        file, factory = split_factory(node.value)
        full = Path(folder, Path(file).expanduser())
        absolute = _tidy(full)
        node.value = f"{absolute}:{factory}" if factory is not None else absolute


def _base(tree: Node, folders: Folders, led: set[int]) -> Path:
    node = tree.get("base")
    if node is None:
        node = Node(str(folders.file), tree.place)
        tree.set("base", node)
    if not isinstance(node.value, str) or node.value in ("", UNFILLED):
        return folders.file
    start = folders.flags if node.flag and id(node) not in led else folders.file
    node.value = _tidy(Path(start, Path(node.value).expanduser()))
    return Path(node.value)


def _tidy(path: Path) -> str:
    import os.path

    return os.path.normpath(path.absolute())
