"""Runs a plan: cache, children, measurements, verdicts, output folder. The one door of the engine."""

from __future__ import annotations

import contextlib
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from edgekit import __version__
from edgekit.checks.gates import check_gates, exit_code
from edgekit.checks.measurement import Measurement
from edgekit.engine.cache import Cache
from edgekit.engine.events import Event, Note
from edgekit.engine.faults import disk_full, is_disk_full
from edgekit.engine.judging import (
    Evaluation,
    check_chance,
    judge_node,
    judge_output,
    mark_simulated,
    misses_exactness,
    only_simulated,
)
from edgekit.engine.keys import ABSENT, versions_of
from edgekit.engine.publish import OutputFolder
from edgekit.engine.results import DataInfo, NodeResult, OutputResult, RunResult
from edgekit.engine.schedule import DONE, FAILED, Schedule, State
from edgekit.engine.settings import Settings
from edgekit.engine.sidecar import sidecar_content
from edgekit.engine.task import Done, Surroundings, Task
from edgekit.engine.tasks import MeasureTask, StepTask, can_measure, is_exact, make_tasks
from edgekit.errors import Interrupted, StepError, Terminated, first_exit_code
from edgekit.plan import Node, Plan, add_traits

Listen = Callable[[Event], None]


class _Termination(KeyboardInterrupt):
    """A termination signal, on the way that Ctrl-C takes."""


def run_plan(plan: Plan, settings: Settings, listen: Listen) -> RunResult:
    """Make every output of a plan and judge it. What goes wrong underway is in the result.

    Raises:
        InputError: the output folder is somebody else's; nothing has run then.
    """
    return _Run(add_traits(plan), settings, listen).carry_out()


class _Run:
    def __init__(self, plan: Plan, settings: Settings, listen: Listen) -> None:
        self._plan = plan
        self._settings = settings
        self._listen = listen
        self._began = time.monotonic()
        self._started = datetime.now(UTC).isoformat(timespec="seconds")
        self._out = OutputFolder(settings.out)
        self._cache = Cache(settings.cache)
        self._evaluation = Evaluation()
        self._schedule: Schedule | None = None

    def carry_out(self) -> RunResult:
        error: dict[str, Any] | None = None
        with _termination_as_interrupt():
            try:
                self._cache.refuse_unusable()
                self._out.begin(self._plan)
                self._walk()
                nodes, outputs = self._settle()
            except KeyboardInterrupt as interrupt:
                kind = Terminated if isinstance(interrupt, _Termination) else Interrupted
                error = kind("terminated" if kind is Terminated else "interrupted", where=self._running()).to_dict()
                nodes, outputs = self._settle_interrupted(error)
            except OSError as failure:
                if not is_disk_full(failure):
                    raise
                error = disk_full("the run", failure.filename).to_dict()
                nodes, outputs = self._settle_interrupted(error)
            finally:
                self._cache.close()
        return self._result(nodes, outputs, error)

    def _walk(self) -> None:
        plan, settings = self._plan, self._settings
        # Without the cache, a private one that goes when the run ends: nodes still share what they can.
        store = self._cache if settings.use_cache else Cache(self._cache.scratch() / "private")
        tasks = make_tasks(Surroundings(plan, store), evaluate=settings.evaluate)
        self._schedule = Schedule(
            tasks,
            store,
            settings,
            logs=self._out.logs,
            listen=self._listen,
            began=self._began,
            last_inputs=self._cache.last_inputs(self._recipe_id()),
            on_end=self._on_end,
        )
        try:
            self._schedule.walk()
        finally:
            store.memo.close()

    def _on_end(self, task: Task, done: Done | None) -> None:
        """Look at what has just ended: ends the run, or a branch, where going on makes no sense."""
        schedule = self._schedule
        assert schedule is not None
        if task.kind == "prepare" and done is not None:
            for role, info in done.result.items():
                self._note(_data_note(role, info))
        elif task.kind == "place" and done is None:
            error = schedule.states[task.id].error or {}
            self._note(f"{task.label} failed, so that gates on it are not measured: {error.get('message')}")
        elif task.kind == "reference" and done is not None:
            self._take_reference(done.result)
        elif isinstance(task, MeasureTask) and is_exact(task.node) and not self._settings.keep_going:
            if done is None:
                schedule.skip_below(task.node.id, f"{task.node.id} could not be measured")
                return
            size = schedule.done[task.node.id].artifact.bytes
            verdicts = judge_node(self._plan, task.node, _measurement(done), size, self._measured)
            if misses_exactness(task.node, verdicts):
                missed = next(verdict for verdict in verdicts if verdict.result == "fail")
                schedule.skip_below(
                    task.node.id, f"{task.node.id} missed {missed.gate} {missed.limit:g} ({missed.value:.1f})"
                )

    def _take_reference(self, result: dict[str, Any]) -> None:
        data = self._plan.data
        if data is None or not (data.split or data.evaluate):
            self._evaluation = Evaluation(None, bool(result.get("decides")))
            return
        self._evaluation = Evaluation(bool(result.get("labelled")), bool(result.get("decides")))
        for gates in [output.gates for output in self._plan.outputs] + [node.gates for node in self._plan.nodes]:
            check_gates(gates, labelled=self._evaluation.labelled)
        found = result.get("measurement")
        measured = None if found is None else Measurement.from_dict(found)
        check_chance(self._plan, measured, result.get("chance"), result.get("chance_of"))

    def _settle(self) -> tuple[dict[str, NodeResult], list[OutputResult]]:
        """Verdicts, then the files."""
        nodes, outputs = self._judge()
        self._remember()
        published: dict[str, Any] = {}
        placed = [self._publish_output(result, published) for result in outputs]
        for id, result in nodes.items():
            if result.artifact is not None:
                there = published.get(id) or self._publish_step(id, result)
                nodes[id] = replace(result, artifact=there)
        self._out.finish()
        return nodes, placed

    def _settle_interrupted(self, error: dict[str, Any]) -> tuple[dict[str, NodeResult], list[OutputResult]]:
        """What there is to say of a run that was cut short; nothing is published."""
        if self._schedule is None:
            nodes = {node.id: NodeResult(node.id, "skipped", error["message"]) for node in self._plan.nodes}
        else:
            self._schedule.stop(error, error["message"])
            nodes, _ = self._judge()
            self._remember()
        nodes = {id: replace(result, artifact=None) for id, result in nodes.items()}
        outputs = [
            OutputResult(o.name, o.target, o.precision, error["exit_code"], "fail", node=o.node)
            for o in self._plan.outputs
        ]
        with contextlib.suppress(OSError):
            self._out.finish()
        return nodes, outputs

    def _judge(self) -> tuple[dict[str, NodeResult], list[OutputResult]]:
        schedule = self._schedule
        assert schedule is not None
        nodes = {node.id: self._node_result(node) for node in self._plan.nodes}
        ended_with = schedule.error["exit_code"] if schedule.error else 0
        outputs = []
        for output in self._plan.outputs:
            # A file whose measurement was cut off is not known to be good.
            measure = schedule.states.get(f"measure {output.node}")
            seen = nodes
            if schedule.error and measure is not None and measure.status != DONE:
                seen = {**nodes, output.node: replace(nodes[output.node], artifact=None)}
            outputs.append(
                judge_output(
                    self._plan,
                    output,
                    seen,
                    self._evaluation,
                    strict=self._settings.strict,
                    ended_with=ended_with,
                    placement=self._placement(output.name),
                    source=self._source_measurement(),
                )
            )
        return nodes, outputs

    def _measured(self, id: str) -> Measurement | None:
        """What was measured of a node's file so far."""
        done = None if self._schedule is None else self._schedule.done.get(f"measure {id}")
        return None if done is None else _measurement(done)

    def _source_measurement(self) -> Measurement | None:
        done = {} if self._schedule is None else self._schedule.done
        found = done["reference"].result.get("measurement") if "reference" in done else None
        return None if found is None else Measurement.from_dict(found)

    def _placement(self, output: str) -> dict[str, Any] | None:
        schedule = self._schedule
        assert schedule is not None
        done = schedule.done.get(f"place {output}")
        return None if done is None else done.result["placement"]

    def _node_result(self, node: Node) -> NodeResult:
        schedule = self._schedule
        assert schedule is not None
        state = schedule.states[node.id]
        log = self._out.logs / f"{node.id}.log"
        result = NodeResult(
            node.id,
            state.status if state.status != DONE else schedule.done[node.id].status,
            state.reason,
            started=round(state.started, 3),
            seconds=round(state.seconds, 3),
            peak_rss_bytes=state.peak_rss_bytes,
            error=state.error,
            log=str(log) if log.exists() else None,
        )
        if state.status != DONE:
            return result
        done = schedule.done[node.id]
        result = replace(
            result,
            reason=done.reason,
            artifact=done.artifact,
            notes=tuple(done.result.get("notes") or ()),
        )
        return self._with_measurement(node, result, schedule.states.get(f"measure {node.id}"))

    def _with_measurement(self, node: Node, result: NodeResult, state: State | None) -> NodeResult:
        schedule = self._schedule
        assert schedule is not None and result.artifact is not None
        measurement, unmeasured, error = None, None, None
        if state is not None and state.status == DONE:
            measurement = _measurement(schedule.done[state.task.id])
            measurement = mark_simulated(measurement, only_simulated(self._plan, node))
        elif state is not None and state.status == FAILED:
            error = state.error
            unmeasured = "its measurement failed"
        else:
            unmeasured = self._why_unmeasured(node, state)
        status = "failed" if error else result.status
        return replace(
            result,
            status=status,
            measurement=measurement,
            unmeasured=unmeasured,
            error=error,
            verdicts=judge_node(self._plan, node, measurement, result.artifact.bytes, self._measured),
        )

    def _why_unmeasured(self, node: Node, state: State | None) -> str:
        if not self._settings.evaluate:
            return "not asked for (--no-eval)"
        if not can_measure(self._plan, node):
            return "nothing on this machine runs this format"
        return state.reason if state is not None else "no evaluation data"

    def _publish_output(self, result: OutputResult, published: dict[str, Any]) -> OutputResult:
        if result.artifact is None:
            return result
        output = next(output for output in self._plan.outputs if output.name == result.output)
        schedule = self._schedule
        assert schedule is not None
        content = sidecar_content(self._plan, result, schedule.done)
        try:
            there = self._out.publish(self._plan, output, result.artifact, content, result.rejected)
        except OSError as failure:
            if not is_disk_full(failure):
                raise
            error = disk_full(f"output {result.output}", failure.filename)
            schedule.error = schedule.error or error.to_dict()
            return replace(result, artifact=None, verdict="fail", exit_code=StepError.exit_code)
        published.setdefault(output.node, there)
        return replace(result, artifact=there)

    def _publish_step(self, id: str, result: NodeResult) -> Any:
        assert result.artifact is not None
        try:
            return self._out.publish_step(id, result.artifact)
        except OSError as failure:
            schedule = self._schedule
            if not is_disk_full(failure) or schedule is None:
                raise
            schedule.error = schedule.error or disk_full(f"step {id}", failure.filename).to_dict()
            return None

    def _result(
        self, nodes: dict[str, NodeResult], outputs: list[OutputResult], error: dict[str, Any] | None
    ) -> RunResult:
        schedule = self._schedule
        done = {} if schedule is None else schedule.done
        error = error or (None if schedule is None else schedule.error)
        codes = [output.exit_code for output in outputs]
        codes += [result.error["exit_code"] for result in nodes.values() if result.error]
        codes += [exit_code(result.verdicts, strict=self._settings.strict) for result in nodes.values()]
        if error:
            codes.append(error["exit_code"])
        return RunResult(
            plan_name=self._plan.name,
            recipe_sha256=self._plan.recipe_sha256,
            started=self._started,
            seconds=round(time.monotonic() - self._began, 3),
            exit_code=first_exit_code(codes),
            environment=_environment(self._plan),
            source=done["source"].artifact if "source" in done else None,
            source_measurement=self._source_measurement(),
            nodes=tuple(nodes.values()),
            outputs=tuple(outputs),
            data={} if "data" not in done else {role: _data_info(info) for role, info in done["data"].result.items()},
            error=error,
        )

    def _remember(self) -> None:
        """What each node was made from, for the next run to say what changed."""
        schedule = self._schedule
        if schedule is None or not self._settings.use_cache:
            return
        inputs = {
            id: state.inputs
            for id, state in schedule.states.items()
            if isinstance(state.task, StepTask) and state.status == DONE and state.inputs is not None
        }
        with contextlib.suppress(OSError):
            self._cache.remember_inputs(self._recipe_id(), inputs)

    def _recipe_id(self) -> str:
        return f"{self._plan.name}\n{self._plan.source.file}"

    def _running(self) -> str | None:
        states = [] if self._schedule is None else list(self._schedule.states.values())
        running = [state.task.label for state in states if state.status == "running"]
        return ", ".join(running) or None

    def _note(self, text: str) -> None:
        self._listen(Note(text, time.monotonic() - self._began))


def _measurement(done: Done) -> Measurement:
    return Measurement.from_dict(done.result["measurement"])


def _data_info(info: dict[str, Any]) -> DataInfo:
    ends = info.get("input_range")
    return DataInfo(
        samples=info["samples"],
        sha256=info["sha256"],
        labelled=bool(info.get("labelled")),
        classes=info.get("classes"),
        input_range=None if ends is None else (ends[0], ends[1]),
    )


def _data_note(role: str, info: dict[str, Any]) -> str:
    text = f"{role}: {info['samples']} samples"
    ends = info.get("input_range")
    if ends is not None:
        text += f", prepared input from {ends[0]:.4g} to {ends[1]:.4g}"
    return f"{text}; {info['note']}" if info.get("note") else text


def _environment(plan: Plan) -> dict[str, Any]:
    names: set[str] = set()
    for node in plan.nodes:
        names.update(node.traits.requires if node.traits else ())
    for known in plan.formats.values():
        names.update((*known.requires, *((known.runtime,) if known.runtime else ())))
    packages = {name: version for name, version in versions_of(names).items() if version != ABSENT}
    return {
        "edgekit": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": packages,
    }


@contextlib.contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """SIGTERM takes the way of Ctrl-C while a run is under way."""

    def interrupt(number: int, frame: object) -> None:
        raise _Termination

    if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
