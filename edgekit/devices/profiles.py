"""Finding and reading target profiles: edgekit's own, and those of a user's folder. Read when first asked for."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from edgekit.devices.profile import Profile
from edgekit.documents import Node, read_file
from edgekit.errors import InputError, Mistake, RecipeError, UnknownName, not_a_file
from edgekit.registry import did_you_mean
from edgekit.validation import check, raise_mistakes

SUFFIX = ".yaml"

#: Appends what is wrong with the names in a profile: (profile, its tree, mistakes). This package knows no steps.
CheckNames = Callable[[Profile, Node, list[Mistake]], None]


class Profiles(Mapping[str, Profile]):
    """The profiles by name. A file is called after the profile it holds, so that only those asked for are read."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self.files = dict(files)
        self._read: dict[str, Profile] = {}
        self._trees: dict[str, Node] = {}

    def __getitem__(self, name: str) -> Profile:
        if name not in self.files:
            raise KeyError(name)
        if name not in self._read:
            self._read[name], self._trees[name] = _load(name, self.files)
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)

    def __contains__(self, name: object) -> bool:
        return name in self.files

    def tree(self, name: str) -> Node:
        """The written values of a profile with their places, after ``extends``."""
        self[name]
        return self._trees[name]

    def find(self, name: str) -> Profile:
        """The profile of that name.

        Raises:
            UnknownName: there is none; the message offers the nearest.
        """
        if name not in self.files:
            raise UnknownName(
                f"no target is called `{name}`{did_you_mean(name, self.files)}",
                remedy=f"the targets are {', '.join(self.files)}",
                code="unknown_target",
            )
        return self[name]


def own_folder() -> Path:
    """Where edgekit's own profiles lie: in the wheel, else in the checkout beside the package."""
    package = Path(__file__).resolve().parent.parent
    packed = package / "_targets"
    return packed if packed.is_dir() else package.parent / "targets"


def load_profiles(extra: Path | None = None, *, own: Path | None = None) -> Profiles:
    """All profiles: edgekit's own, and those of ``extra`` (default: the folder that ``EDGEKIT_TARGETS`` names, if any).

    Raises:
        InputError: ``extra`` is no folder, or profiles of one name that say different things lie in both.
    """
    named = os.environ.get("EDGEKIT_TARGETS")
    extra = extra if extra is not None else (Path(named) if named else None)
    files: dict[str, Path] = {}
    for folder in (own or own_folder(), extra):
        if folder is None:
            continue
        if not folder.is_dir():
            raise InputError(f"no folder of target profiles at {folder}", where=str(folder), code="missing_folder")
        for path in sorted(folder.glob("*" + SUFFIX)):
            if path.stem in files and not _is_same(files[path.stem], path):
                raise two_of_one_name(files[path.stem], path)
            files[path.stem] = path
    return Profiles(files)


def two_of_one_name(first: Path, second: Path) -> InputError:
    return InputError(
        f"two target profiles are called `{second.stem}`: {first} and {second}",
        where=str(second),
        remedy="rename one of them; with `extends:` it can still take over what the other says",
        code="duplicate_target",
    )


def validate_profile(path: Path, *, check_names: CheckNames | None = None, own: Path | None = None) -> Profile:
    """Read one profile as strictly as a run would; what it extends is looked for beside it and among edgekit's own.

    Raises:
        RecipeError: all its mistakes, with their places.
        InputError: there is no such file, or edgekit has a profile of that name which says something else.
    """
    what = not_a_file(path, "target profile")
    if what is not None:
        remedy = "name the YAML files themselves, such as boards/my-board.yaml; docs/adding-a-target.md shows one"
        raise InputError(what, where=str(path), remedy=remedy, code="missing_file")
    own = own or own_folder()
    _refuse_own_name(path, own / path.name)
    files = {other.stem: other for folder in (own, path.parent) for other in sorted(folder.glob("*" + SUFFIX))}
    files[path.stem] = path
    profile, tree = _load(path.stem, files)
    mistakes: list[Mistake] = []
    if check_names is not None:
        check_names(profile, tree, mistakes)
    raise_mistakes(mistakes, str(path))
    return profile


def _is_same(first: Path, second: Path) -> bool:
    """Whether two profiles are one file, or copies: a checkout's, beside those that are installed."""
    return first.samefile(second) or first.read_bytes() == second.read_bytes()


def _refuse_own_name(path: Path, twin: Path) -> None:
    """Refuse (InputError) a profile that is called like one of edgekit's own and says something else."""
    if twin.is_file() and not _is_same(twin, path):
        raise InputError(
            f"`{path.stem}` is the name of a profile of edgekit's own, which says something else: {twin}",
            where=str(path),
            remedy=f"rename yours; with `extends: {path.stem}` it can still take over what edgekit's says",
            code="duplicate_target",
        )


def _load(name: str, files: Mapping[str, Path]) -> tuple[Profile, Node]:
    path = files[name]
    mistakes: list[Mistake] = []
    tree = _read_extended(name, files, (), mistakes)
    _spell_out_routes(tree, mistakes)
    written = tree.get("name")
    if written is not None and written.value != name:
        mistakes.append(written.place.mistake(f"`name` must be `{name}`, as the file is called"))
    profile = check(Profile, tree, mistakes=mistakes)
    raise_mistakes(mistakes, f"the target profile {path}")
    if profile is None:
        raise RecipeError(f"the target profile {path} is wrong", where=str(path))
    return profile, tree


def _read_extended(name: str, files: Mapping[str, Path], seen: tuple[str, ...], mistakes: list[Mistake]) -> Node:
    """The tree of a profile laid over that of the one it extends."""
    tree, found = read_file(files[name])
    mistakes.extend(found)
    if not isinstance(tree.value, dict):
        raise_mistakes(
            [*mistakes, tree.place.mistake("a target profile is a map")], f"the target profile {files[name]}"
        )
    parent = tree.value.pop("extends", None)
    if parent is None:
        return tree
    if not isinstance(parent.value, str) or parent.value not in files:
        near = did_you_mean(str(parent.value), files) or "; `edgekit targets list` shows them"
        # Alone: what the profile would have taken over is not its mistake.
        missing = parent.place.mistake(f"no target is called `{parent.value}`{near}")
        raise_mistakes([*mistakes, missing], f"the target profile {files[name]}")
    if parent.value in (*seen, name):
        circle = " -> ".join([*seen, name, parent.value])
        raise_mistakes(
            [parent.place.mistake(f"`extends` goes in a circle: {circle}")], f"the target profile {files[name]}"
        )
    below = _read_extended(parent.value, files, (*seen, name), mistakes)
    return _lay_over(below, tree)


def _lay_over(below: Node, above: Node) -> Node:
    """``above`` on ``below``: maps are merged key by key; facts, lists and plain values are replaced whole."""
    if not (isinstance(below.value, dict) and isinstance(above.value, dict)):
        return above
    if _is_fact(below) or _is_fact(above):
        return above
    merged = Node(dict(below.value), above.place, dict(below.keys))
    for key, child in above.value.items():
        mine = below.value.get(key)
        laid = child if mine is None or key == "routes" else _lay_over(mine, child)
        merged.set(key, laid, above.key_place(key))
    return merged


def _is_fact(node: Node) -> bool:
    return bool({"value", "source", "unknown"} & set(node.value))


def _spell_out_routes(tree: Node, mistakes: list[Mistake]) -> None:
    """Write every item of a route, a step's name or ``{name: options}``, as ``{step: name, options: ...}``."""
    routes = tree.get("routes")
    if routes is None or not isinstance(routes.value, dict):
        return
    for route in routes.value.values():
        if isinstance(route.value, list):
            route.value = [spell_out_use(item, mistakes) for item in route.value]


def spell_out_use(item: Node, mistakes: list[Mistake]) -> Node:
    """``name`` or ``{name: options}`` as ``{step: name, options: ...}``; what is neither is left to the schema."""
    if isinstance(item.value, str):
        return Node({"step": item}, item.place, {"step": item.place})
    if isinstance(item.value, dict) and len(item.value) == 1:
        name, options = next(iter(item.value.items()))
        place = item.key_place(name)
        use = Node({}, item.place)
        use.set("step", Node(name, place, flag=item.flag))
        use.set("options", Node({}, options.place) if options.value is None else copy.copy(options))
        return use
    mistakes.append(item.place.mistake("a step is its name, or {name: {option: value}}"))
    return Node({"step": Node("", item.place)}, item.place)
