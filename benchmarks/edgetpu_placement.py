"""Predicted against real: ``python benchmarks/edgetpu_placement.py [--data FOLDER] [--mutations 10000] [--rules]``.

FOLDER holds pairs NAME.tflite and NAME_edgetpu.tflite (default: coral in the test data), and the compiler's logs
NAME_edgetpu.log where there are some. Prints, by model and by operator type, how many operators the prediction and the
compiled file agree on, the parameter memory of both, and whether the predicted statuses are those of the log. Compiled
files that cannot be compared (no source, not of that source, damaged) are listed with the reason. With --mutations,
damages the files that often and reads them back. Ends with 1 where a model that compiler 16 compiled into one subgraph
differs, or a pair cannot be read, and with a traceback where a damaged file is not refused in order. With --rules,
prints instead how sure each rule is that no file or log of compiler 16 settles: inferred, documented only, or with a
figure between two sightings.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from edgekit.devices.compiled import belongs
from edgekit.devices.edgetpu_compiler import placement_from_report, remaining
from edgekit.devices.edgetpu_report import parse_report
from edgekit.devices.placement import Placement
from edgekit.devices.rules.edgetpu import predict
from edgekit.devices.rules.edgetpu_table import load_table
from edgekit.errors import InputError
from edgekit.formats.edgetpu_file import CUSTOM_OPERATOR, Package, is_compiled, read_packages
from edgekit.formats.tflite import describe_model
from edgekit.formats.tflite_flatbuffer import parse_model, read_model
from edgekit.graph import Graph

#: What files of compiler 16 ask of the runtime.
RUNTIME_OF_16 = 14


@dataclass(frozen=True)
class Pair:
    """``real[i]``: whether operator i is on the chip; ``packages`` has one for each subgraph, none where nothing was
    compiled."""

    name: str
    graph: Graph
    predicted: Placement
    real: tuple[bool, ...]
    packages: tuple[Package, ...]
    log: str | None

    @property
    def runtime(self) -> int | None:
        return max((package.min_runtime_version for package in self.packages), default=None)

    @property
    def parameter_bytes(self) -> int:
        return sum(one.cached_parameter_bytes + one.streamed_parameter_bytes for one in self.packages)

    @property
    def differences(self) -> list[tuple[int, str, str]]:
        """(index, type, predicted status) of operators that stand elsewhere than predicted."""
        placed = zip(self.predicted.operators, self.real, strict=True)
        return [(one.index, one.type, one.status) for one, real in placed if (one.placement == "accelerator") != real]

    @property
    def judged(self) -> bool:
        """Compiler 16 made one subgraph of it, or it is not quantized at all (then every compiler leaves all of it).
        More than one it makes with the experimental option -a only."""
        return self.runtime in (None, RUNTIME_OF_16) and len(self.packages) <= 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=default_folder())
    parser.add_argument("--mutations", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rules", action="store_true")
    arguments = parser.parse_args()
    if arguments.rules:
        sys.stdout.write(list_of_rules())
        return 0
    pairs, alone, unread = read_pairs(arguments.data)
    if not pairs and not unread:
        parser.error(f"no pairs NAME.tflite, NAME_edgetpu.tflite in {arguments.data}")
    sys.stdout.write(table_of_models(pairs) + "\n" + table_of_types(pairs) + "\n")
    sys.stdout.write("".join(f"{name}: its source is not there\n" for name in alone))
    sys.stdout.write("".join(f"{name}: cannot be compared: {why}\n" for name, why in unread))
    wrong = [pair for pair in pairs if pair.differences]
    for pair in wrong:
        for index, kind, status in pair.differences:
            sys.stdout.write(f"{pair.name}: operator {index} {kind}, predicted: {status}; {explain(pair, kind)}\n")
    judged = sum(pair.judged for pair in pairs)
    failed = sum(pair.judged for pair in wrong)
    sys.stdout.write(f"{judged} pairs of compiler 16 or without subgraph, {failed} differ; ")
    sys.stdout.write(f"{len(pairs) - judged} of older compilers or options, {len(wrong) - failed} differ\n")
    if arguments.mutations:
        files = [path for path in sorted(arguments.data.rglob("*.tflite")) if path.stat().st_size < 1 << 20]
        sys.stdout.write(damage(files, arguments.mutations, arguments.seed) + "\n")
    return 1 if failed or unread else 0


def list_of_rules() -> str:
    """Every operator and limit of the table that is not settled, by how sure it is: tab-separated lines."""
    inferred, documented, fitted = [], [], []
    table = load_table()
    for kind, row in table.rows.items():
        if row.inferred:
            inferred.append(f"{kind}\tmaps\t{row.inferred}")
        elif not row.seen:
            documented.append(f"{kind}\tmaps\t{row.source}")
        for limit in row.limits:
            if limit.inferred:
                inferred.append(f"{kind}\t{limit.rule}\t{limit.inferred}")
            elif limit.fitted:
                fitted.append(f"{kind}\t{limit.rule}\t{limit.evidence or limit.source}")
            elif limit.evidence is None:
                documented.append(f"{kind}\t{limit.rule}\t{limit.source}")
    inferred += [f"{kind}\trefused\t{table.doubt(kind)}" for kind in sorted(table.refused) if table.doubt(kind)]
    parts = {
        "Inferred: nothing of compiler 16 says so": inferred,
        "Documented, but seen in no file or log at hand": documented,
        "Seen, with a limit that lies between what was mapped and what was refused": fitted,
    }
    return "\n".join(f"{title} ({len(lines)})\n" + "\n".join(lines) + "\n" for title, lines in parts.items())


def explain(pair: Pair, kind: str) -> str:
    """What is documented of older compilers or options, and this operator."""
    if len(pair.packages) > 1:
        return (
            f"explained: {len(pair.packages)} subgraphs, of the compiler's option -a (google-coral/edgetpu issue 342)"
        )
    row = load_table().rows.get(kind)
    if pair.judged or row is None or row.older is None:
        return "not explained"
    return f"explained: {row.older}"


def default_folder() -> Path:
    named = os.environ.get("EDGEKIT_TEST_DATA")
    return (Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data") / "coral"


def source_of(compiled: Path) -> Path:
    return compiled.with_name(compiled.name.removesuffix("_edgetpu.tflite") + ".tflite")


def read_pairs(folder: Path) -> tuple[list[Pair], list[str], list[tuple[str, str]]]:
    """(the pairs, compiled files without their source, compiled files that cannot be compared and why)."""
    pairs, alone, unread = [], [], []
    for path in sorted(folder.rglob("*_edgetpu.tflite")):
        name = str(path.relative_to(folder))
        if not source_of(path).is_file():
            alone.append(name)
            continue
        try:
            pairs.append(read_pair(path))
        except InputError as error:
            unread.append((name, str(error)))
    return pairs, alone, unread


def read_pair(compiled: Path) -> Pair:
    """An operator is on the chip when the compiled file has none with its output any more.

    Raises:
        InputError: a file is damaged, the source is a compiled file itself, or the compiled one is another model's: it
            has operators, inputs or outputs that the source has not.
    """
    source = source_of(compiled)
    if is_compiled(source):
        raise InputError(f"{source.name} is a compiled file itself, not a source", code="wrong_format")
    graph = describe_model(read_model(source))
    model = read_model(compiled)
    result = describe_model(model)
    real = find_mapped(graph, result)
    if not belongs(result, graph):
        message = f"its inputs and outputs are not those of {source.name}: it was compiled from another model"
        raise InputError(message, code="wrong_format")
    log = compiled.with_suffix(".log")
    predicted = predict(graph)
    return Pair(
        name=compiled.name.removesuffix("_edgetpu.tflite"),
        graph=graph,
        predicted=predicted,
        real=real,
        packages=read_packages(model) if is_compiled(compiled) else (),
        log=statuses_agree(log, predicted, remaining(result)) if log.is_file() else None,
    )


def find_mapped(source: Graph, compiled: Graph) -> tuple[bool, ...]:
    """For each operator of the source, whether it is gone. Where several have one type and name, the last ones stay."""
    left = Counter((one.type, one.name) for one in compiled.operators if one.type != CUSTOM_OPERATOR)
    mapped = []
    for operator in reversed(source.operators):
        key = (operator.type, operator.name)
        mapped.append(left[key] == 0)
        left[key] -= not mapped[-1]
    if strange := +left:
        kind, name = next(iter(strange))
        raise InputError(f"the compiled file's {kind} `{name}` is not in its source", code="wrong_format")
    return tuple(reversed(mapped))


def statuses_agree(log: Path, predicted: Placement, left: set[tuple[str, str]]) -> str:
    """Whether the log's counts by type and status are the predicted ones."""
    told = placement_from_report(parse_report(log.read_text(encoding="utf-8", errors="replace")), predicted, left)
    if told is None:
        return "not settled"
    differ = sum(ours.status != theirs.status for ours, theirs in zip(predicted.operators, told.operators, strict=True))
    return "equal" if differ == 0 else f"{differ} differ"


def table_of_models(pairs: list[Pair]) -> str:
    head = (
        *("model", "runtime", "operators", "mapped", "predicted mapped", "differ", "statuses"),
        *("parameters", "predicted parameters", "off"),
    )
    rows = [head]
    for pair in pairs:
        memory = pair.predicted.memory["parameter_bytes"]
        real = pair.parameter_bytes
        rows.append(
            (
                pair.name,
                str(pair.runtime or "-"),
                str(len(pair.real)),
                str(sum(pair.real)),
                str(pair.predicted.totals()["accelerator"]),
                str(len(pair.differences)),
                pair.log or "-",
                f"{real:,}",
                "not known" if memory is None else f"{memory:,}",
                "-" if memory is None or not real else f"{100 * (memory / real - 1):+.1f} %",
            )
        )
    return aligned(rows)


def table_of_types(pairs: list[Pair]) -> str:
    """Over all pairs: on the chip and predicted so, on the CPU and predicted so, and the two ways to be wrong."""
    counts: dict[str, Counter[tuple[bool, bool]]] = defaultdict(Counter)
    for pair in pairs:
        for one, real in zip(pair.predicted.operators, pair.real, strict=True):
            counts[one.type][real, one.placement == "accelerator"] += 1
    rows = [("operator", "both mapped", "both CPU", "only predicted", "only real")]
    columns = ((True, True), (False, False), (False, True), (True, False))
    for kind in sorted(counts):
        rows.append((kind, *(str(counts[kind][column]) for column in columns)))
    total: Counter[tuple[bool, bool]] = sum(counts.values(), Counter())
    rows.append(("all", *(str(total[column]) for column in columns)))
    return aligned(rows)


def aligned(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = []
    for row in rows:
        first, *rest = (
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join((first, *rest)))
    return "\n".join(lines) + "\n"


def damage(files: list[Path], count: int, seed: int) -> str:
    """Read ``count`` damaged copies: each is understood, or refused with an InputError."""
    draw = random.Random(seed)
    kept = [path.read_bytes() for path in files]
    refused, slowest = 0, 0.0
    for _ in range(count):
        data = mutate(draw.choice(kept), draw)
        started = time.perf_counter()
        try:
            read_all(data)
        except InputError:
            refused += 1
        slowest = max(slowest, time.perf_counter() - started)
    return f"{count} damaged files: {refused} refused, {count - refused} read, the slowest in {slowest:.2f} s"


def read_all(data: bytes) -> None:
    """All that edgekit reads of a file."""
    model = parse_model(data)
    predict(describe_model(model))
    if any(code.custom == CUSTOM_OPERATOR for code in model.codes):
        read_packages(model)


def mutate(data: bytes, draw: random.Random) -> bytes:
    """Bytes changed, numbers replaced by extreme ones, or the end cut off; more often where offsets stand."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 4, 16))):
        if len(changed) <= 64:
            break
        kind = draw.randrange(4)
        near = draw.random() < 0.5
        place = draw.randrange(8, min(len(changed), 4096)) if near else draw.randrange(len(changed))
        if kind == 0:
            changed[place] ^= 1 << draw.randrange(8)
        elif kind == 1:
            value = draw.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, len(changed), draw.getrandbits(32)))
            changed[place : place + 4] = value.to_bytes(4, "little")
        elif kind == 2:
            other = draw.randrange(len(changed))
            changed[place : place + 16] = changed[other : other + 16]
        else:
            del changed[draw.randrange(16, len(changed)) :]
    return bytes(changed)


if __name__ == "__main__":
    sys.exit(main())
