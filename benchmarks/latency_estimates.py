"""Fit the latency rates on published figures, and judge them: ``python benchmarks/latency_estimates.py [--write]``.

The figures are those of the target profiles (``reference``); latency_figures.yaml says which are taken. Prints, for
every profile and precision with such figures, each model's published time, the time that the rates fitted on all the
others give (leave-one-out) and its error, and the median and the worst of these errors. ``--write`` puts the rates into
edgekit/devices/latency.yaml, with their sources and errors.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from published_models import build
from scipy.optimize import nnls

from edgekit.devices import Profile, latency, load_profiles
from edgekit.devices.assume import assume_quantized
from edgekit.devices.placement import Placement
from edgekit.devices.rules.edgetpu import predict

FIGURES = Path(__file__).with_name("latency_figures.yaml")
RATES = Path(latency.__file__).with_name("latency.yaml")
#: Fewer published models, or fewer that show one of the features, give no estimate.
FEWEST_MODELS, FEWEST_SHOWING = 4, 2
#: Of fewer models than this the median says little: the error that users are told is then that of the worst.
ENOUGH_FOR_MEDIAN = 6
#: How strongly rates are held back, as a share of a column's weight: settles what the figures leave open.
RIDGE = 0.02
#: Of the fit on a logarithmic scale: how often it is repeated; the error below which models weigh alike; the least
#: share of a published time that an estimate counts as.
ROUNDS, CLOSE, LEAST_SHARE = 30, 0.05, 0.05

Fitted = dict[str, float]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the rates into edgekit/devices/latency.yaml")
    arguments = parser.parse_args()
    for profile, precisions in load_figures().items():
        for precision, entry in precisions.items():
            sys.stdout.write(table_of(f"{profile}/{precision}", entry) + "\n")
            if "host" in entry:
                sys.stdout.write(table_of(f"{profile}/{precision}, its CPU", entry["host"]) + "\n")
    if arguments.write:
        write_rates(fit_all())
    return 0


def load_figures() -> dict[str, dict[str, dict[str, Any]]]:
    """{profile: {precision: entry}}; an entry's ``figures`` are {name of published_models.py: published ms}, and its
    ``source`` those of the figures. What is taken, and how it is fitted, is said by latency_figures.yaml."""
    from ruamel.yaml import YAML

    stored = YAML(typ="safe", pure=True).load(FIGURES)
    profiles = load_profiles()
    return {
        name: {precision: _take_figures(entry, profiles[name], stored["networks"]) for precision, entry in told.items()}
        for name, told in stored["profiles"].items()
    }


def _take_figures(entry: Mapping[str, Any], profile: Profile, networks: Mapping[str, str]) -> dict[str, Any]:
    """The entry with the profile's own figures, those of its ``host`` too.

    Raises:
        ValueError: a model has two latencies under its conditions, or none is known under one of them.
    """
    taken: dict[str, float] = {}
    sources: dict[str, None] = {}
    left, used = dict(entry.get("excluded", {})), set()
    for figure in profile.reference:
        network, ms = networks.get(figure.model), figure.result.value
        if figure.metric != "latency" or figure.conditions not in entry["figures"] or network is None or ms is None:
            continue
        used.add(figure.conditions)
        if figure.model in left:
            continue
        if network in taken:
            raise ValueError(f"{profile.name} has two latencies of {figure.model} under {entry['figures']}")
        taken[network] = ms
        sources[str(figure.result.source)] = None
    unused = [conditions for conditions in entry["figures"] if conditions not in used]
    if unused:
        raise ValueError(f"{profile.name} has no latency under {unused}")
    found = {**entry, "figures": taken, "source": "; ".join(sources)}
    if "host" in entry:
        found["host"] = _take_figures(entry["host"], profile, networks)
    if "against" in entry:
        found["against"] = _take_figures({"figures": entry["against"]}, profile, networks)["figures"]
    return found


def fit_all() -> dict[str, dict[str, dict[str, Any]]]:
    """{profile: {precision: what latency.yaml says of it}}; profiles with too few models are left out."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for profile, precisions in load_figures().items():
        for precision, entry in precisions.items():
            if why_not(entry) is not None:
                continue
            fitted = fit_entry(entry)
            if "host" in entry:
                fitted["host"] = {**fit_entry(entry["host"]), "operators": operators_of(entry["host"])}
            found.setdefault(profile, {})[precision] = fitted
    return found


def why_not(entry: Mapping[str, Any]) -> str | None:
    """Why the figures give no estimate; None where they do."""
    rows, _ = take(entry)
    if len(rows) < FEWEST_MODELS:
        return f"{len(rows)} models are too few"
    rare = [name for name in entry["features"] if sum(row[name] > 0 for row in rows) < FEWEST_SHOWING]
    return f"too few models show {', '.join(rare)}" if rare else None


def fit_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    errors = [abs(error) for _, _, error in leave_one_out(entry)]
    kept = {name: entry[name] for name in ("conditions", "source", "cache_bytes", "cache_source") if name in entry}
    kept["conditions"] = conditions_of(entry)
    rates = {name: float(f"{rate:.4g}") for name, rate in fit(*take(entry), entry.get("least")).items()}
    return {
        **kept,
        "models": len(entry["figures"]),
        "fastest": min(entry["figures"].values()),
        "slowest": max(entry["figures"].values()),
        "depthwise": shows_depthwise(entry),
        "typical_error": round(median(errors) if len(errors) >= ENOUGH_FOR_MEDIAN else max(errors), 3),
        "worst_error": round(max(errors), 3),
        "ms": rates,
    }


def operators_of(entry: Mapping[str, Any]) -> list[str]:
    """The types of operators that the published models have."""
    return sorted({operator.type for name in entry["figures"] for operator in build(name).operators})


def shows_depthwise(entry: Mapping[str, Any]) -> bool:
    """Whether published models tell what depthwise convolutions cost."""
    shown = sum(features_of(name, entry.get("cache_bytes"))["depthwise_macs"] > 0 for name in entry["figures"])
    return shown >= FEWEST_SHOWING


def take(entry: Mapping[str, Any]) -> tuple[list[dict[str, float]], list[float]]:
    """(features of each model, only those that get a rate; its published ms)."""
    cache_bytes = entry.get("cache_bytes")
    rows = [features_of(name, cache_bytes) for name in entry["figures"]]
    chosen = [{name: row[name] for name in entry["features"]} for row in rows]
    return chosen, [float(ms) for ms in entry["figures"].values()]


@cache
def features_of(name: str, cache_bytes: int | None) -> dict[str, float]:
    """In the units of the rates: millions, and layers and inferences one by one."""
    graph, placement = build(name), None
    if cache_bytes is not None:
        graph = assume_quantized(graph)
        placement = predict(graph)
        check_mapped(name, placement)
    streamed = latency.streamed_bytes(graph, placement, cache_bytes)
    found = latency.measure(graph, graph.operators, streamed)
    return {key: value / latency.unit_of(key) for key, value in found.items()}


def check_mapped(name: str, placement: Placement) -> None:
    left = [placed for placed in placement.operators if placed.placement != "accelerator"]
    if left:
        raise ValueError(f"{name}: {left[0].type} {left[0].index} is not on the accelerator: {left[0].reason}")


def fit(
    rows: Sequence[Mapping[str, float]], times: Sequence[float], least: Mapping[str, float] | None = None
) -> Fitted:
    """Rates of at least ``least`` (0 where it names none) with small errors on a logarithmic scale, which single odd
    figures do not pull aside: least squares again and again, with the weights of the last errors (towards the least sum
    of absolute errors)."""
    names = list(rows[0])
    floor = np.array([(least or {}).get(name, 0.0) for name in names])
    features, published = np.array([[row[name] for name in names] for row in rows]), np.array(times)
    weights = 1.0 / published
    rates = np.zeros(len(names))
    for _ in range(ROUNDS):
        rates = floor + _solve(features * weights[:, None], (published - features @ floor) * weights)
        told = np.maximum(features @ rates, published * LEAST_SHARE)
        errors = np.abs(np.log(told / published))
        weights = 1.0 / np.sqrt(told * published * np.maximum(errors, CLOSE))
    return {name: float(rate) for name, rate in zip(names, rates, strict=True)}


def _solve(features: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Non-negative least squares, each column held back by RIDGE of its own length."""
    lengths = np.linalg.norm(features, axis=0)
    lengths[lengths == 0] = 1.0
    held = RIDGE * np.linalg.norm(wanted) * np.eye(len(lengths))
    found, _ = nnls(
        np.vstack([features / lengths, held / np.sqrt(len(wanted))]), np.append(wanted, np.zeros(len(lengths)))
    )
    return np.asarray(found / lengths)


def leave_one_out(entry: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """(model, ms from the others' rates, relative error) for each model."""
    rows, times = take(entry)
    found = []
    for place, name in enumerate(entry["figures"]):
        rates = fit([*rows[:place], *rows[place + 1 :]], [*times[:place], *times[place + 1 :]], entry.get("least"))
        told = sum(rate * rows[place][feature] for feature, rate in rates.items())
        found.append((name, told, told / times[place] - 1))
    return found


def others(entry: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """(model, ms from the rates, relative error) for each figure of others, under other conditions."""
    rates = fit(*take(entry), entry.get("least"))
    found = []
    for name, ms in entry.get("against", {}).items():
        row = features_of(name, entry.get("cache_bytes"))
        told = sum(rate * row[feature] for feature, rate in rates.items())
        found.append((name, told, told / ms - 1))
    return found


def conditions_of(entry: Mapping[str, Any]) -> str:
    """What users are told: the conditions, and how far off the figures of others are."""
    errors = [abs(error) for _, _, error in others(entry)]
    if not errors:
        return str(entry["conditions"])
    those = f"{len(errors)} figures by others, taken otherwise"
    return f"{entry['conditions']}; {those}, are {100 * median(errors):.0f} % off"


def table_of(title: str, entry: Mapping[str, Any]) -> str:
    judged = leave_one_out(entry)
    lines = [f"{title}: {entry['conditions']} [{entry['source']}]"]
    for name, told, error in judged:
        lines.append(f"  {name:24s} {entry['figures'][name]:8.2f} ms  estimated {told:8.2f}  {100 * error:+6.1f} %")
    errors = [abs(error) for _, _, error in judged]
    lines.append(f"  left out one by one: median {100 * median(errors):.1f} %, worst {100 * max(errors):.1f} %")
    for name, told, error in others(entry):
        published = entry["against"][name]
        lines.append(f"  by others: {name:13s} {published:8.2f} ms  estimated {told:8.2f}  {100 * error:+6.1f} %")
    rates = ", ".join(f"{name} {rate:.4g}" for name, rate in fit(*take(entry), entry.get("least")).items())
    lines.append(f"  ms per million, per layer, per inference: {rates}")
    if (reason := why_not(entry)) is not None:
        lines.append(f"  no estimate: {reason}")
    lines += [f"  not used: {name}, {why}" for name, why in entry.get("excluded", {}).items()]
    return "\n".join(lines) + "\n"


def write_rates(rates: Mapping[str, Any]) -> None:
    from ruamel.yaml import YAML

    head = (
        "# Written by benchmarks/latency_estimates.py --write: rates fitted on published benchmarks. `ms` is the time\n"
        "# of a million of each feature (of layers and inferences: of one); errors are shares, of leave-one-out.\n"
    )
    yaml = YAML()
    yaml.width = 4000
    with RATES.open("w", encoding="utf-8") as stream:
        stream.write(head)
        yaml.dump({"profiles": rates}, stream)


if __name__ == "__main__":
    sys.exit(main())
