"""The JSON Schema (2020-12) of ``edgekit.report/1``. Fields may be added freely; those named here stay."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def _nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _record(**properties: Schema) -> Schema:
    """An object with at least these fields."""
    return {"type": "object", "properties": properties, "required": list(properties)}


TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
HASH: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
INTERVAL: Schema = {"type": "array", "items": NUMBER, "minItems": 2, "maxItems": 2}
EXIT_CODE: Schema = {"enum": [0, 1, 2, 3, 4, 5, 6, 70, 130, 143]}

MISTAKE = _record(file=TEXT, line=COUNT, column=COUNT, message=TEXT)
ERROR = _record(
    code=TEXT,
    message=TEXT,
    where=_nullable(TEXT),
    remedy=_nullable(TEXT),
    log=_nullable(TEXT),
    exit_code=EXIT_CODE,
    mistakes={"type": "array", "items": MISTAKE},
)
ARTIFACT = _record(path=TEXT, format=TEXT, bytes=COUNT, sha256=HASH)
ARTIFACT["properties"]["tail"] = _nullable(_record(path=TEXT, bytes=COUNT, sha256=HASH))
LATENCY = _record(median=NUMBER, p10=NUMBER, p90=NUMBER)
MEASUREMENT = _record(
    metric=_nullable(TEXT),
    value=_nullable(NUMBER),
    interval=_nullable(INTERVAL),
    drop_points=_nullable(NUMBER),
    drop_points_interval=_nullable(INTERVAL),
    agreement=_nullable(SHARE),
    sqnr_db=_nullable({"type": "number", "minimum": -100, "maximum": 200}),
    latency_ms=_nullable(LATENCY),
    samples=COUNT,
    data={"enum": ["evaluate", "synthetic"]},
    runtime=TEXT,
    simulated={"type": "boolean"},
    seconds=NUMBER,
    share={"type": "boolean"},
)
MEASUREMENT["properties"]["selected_from"] = {"type": "array", "items": TEXT}
VERDICT = _record(
    gate=TEXT,
    limit=NUMBER,
    value=_nullable(NUMBER),
    interval=_nullable(INTERVAL),
    result={"enum": ["pass", "fail", "not_measured"]},
    settled={"type": ["boolean", "null"]},
)
NODE = _record(
    id=TEXT,
    step=TEXT,
    options={"type": "object"},
    parent=_nullable(TEXT),
    outputs={"type": "array", "items": TEXT},
    status={"enum": ["done", "cached", "failed", "skipped"]},
    reason=TEXT,
    started=NUMBER,
    seconds=NUMBER,
    peak_rss_bytes=_nullable(COUNT),
    artifact=_nullable(ARTIFACT),
    measurement=_nullable(MEASUREMENT),
    verdicts={"type": "array", "items": VERDICT},
    error=_nullable(ERROR),
)
PLACEMENT = _record(
    mapped_operators=_nullable(SHARE), mapped_macs=_nullable(SHARE), source={"enum": ["predicted", "compiler"]}
)
PLACEMENT["properties"]["verdict"] = {"enum": ["fits", "partial", "violates", "not_known"]}
PLACEMENT["properties"]["latency_estimate"] = _nullable(
    _record(ms=NUMBER, typical_error=NUMBER, worst_error=NUMBER, models=COUNT, conditions=TEXT, source=TEXT, text=TEXT)
)
OUTPUT = _record(
    output=TEXT,
    target=TEXT,
    precision=TEXT,
    exit_code=EXIT_CODE,
    verdict={"enum": ["pass", "fail", "not_measured"]},
    artifact=_nullable(ARTIFACT),
    lost_at=_nullable(TEXT),
    placement=_nullable(PLACEMENT),
)
OUTPUT["properties"]["handover"] = {
    "type": "array",
    "items": _record(title=TEXT, command=_nullable(TEXT), why=_nullable(TEXT), source=_nullable(TEXT)),
}
SAMPLES = _record(samples=COUNT, sha256=HASH)
REPORT: Schema = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "edgekit.report/1",
    **_record(
        schema={"const": "edgekit.report/1"},
        recipe=_record(name=TEXT, sha256=HASH),
        started=TEXT,
        seconds=NUMBER,
        exit_code=EXIT_CODE,
        environment=_record(python=TEXT, platform=TEXT, packages={"type": "object", "additionalProperties": TEXT}),
        data={"type": "object", "properties": {"evaluate": SAMPLES, "calibrate": SAMPLES}},
        source=_nullable(_record(format=TEXT, bytes=COUNT, measurement=_nullable(MEASUREMENT))),
        nodes={"type": "array", "items": NODE},
        outputs={"type": "array", "items": OUTPUT},
    ),
}
