"""`tfx-bert explain`: why a run's model was pushed, or was not, in words with numbers."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape

from modules.calibration_words import calibration_in_words
from pipeline.explain_tables import CHANGES, Report, gates_table, margin_of, worst_slices
from pipeline.new_spans import spans_in_words
from pipeline.notes import notes
from pipeline.records import RunRecord
from pipeline.resume import UNFINISHED

SHOWN_MISSED = 3
HEADLINES = {
    "pushed": "pushed as version {version}",
    "current": "version {version} is this model, nothing was to be done",
    "rejected": "not pushed",
    "failed": "failed, nothing was pushed",
    "interrupted": "interrupted, nothing was pushed",
    "terminated": "terminated, nothing was pushed",
    "partial": "a part alone, nothing was pushed",
    "running": "still running",
    "eda": "the data alone, nothing was trained",
    "tuned": "a search for settings, no model was made",
}


def explanation(
    record: RunRecord, report: Report, since: Sequence[str] = (), in_production: bool = False
) -> RenderableType:
    """All that is to be said of a run.

    Args:
      report: the run's, of which anything may be missing.
      since: what became of its model afterwards, a sentence each.
      in_production: whether the model is there now, whatever the run's judgement.
    """
    verdict = report.get("verdict") or {}
    headline = HEADLINES.get(record.status, record.status).format(version=record.pushed_version)
    parts: list[RenderableType] = [f"[bold]run {record.id} of {escape(record.config)}: {headline}[/]"]
    parts += _lines(
        "", [*notes(record), *_reasons(record, report), *(f"warning: {line}" for line in verdict.get("warnings") or [])]
    )
    parts += gates_table(report)
    parts += worst_slices(report)
    parts += _lines("behaviour tests", _behaviour(report))
    parts += _lines("probabilities", filter(None, [calibration_in_words(record.calibration)]))
    parts += _lines("data", _data(report))
    parts += _lines("served by the canary", _canary(report))
    parts += _lines("since then", since)
    parts += _lines("what can be done", _next_steps(record, report, in_production))
    return Group(*parts)


def _lines(title: str, lines: Iterable[str]) -> list[str]:
    shown = [f"  {escape(line)}" for line in lines]
    return [*([f"\n[bold]{title}[/]"] if title and shown else []), *shown]


def _reasons(record: RunRecord, report: Report) -> list[str]:
    """What decided the run's end."""
    if record.status in (*UNFINISHED, "running"):
        return _unfinished(record)
    gates = (report.get("verdict") or {}).get("gates") or []
    missed = [gate for gate in gates if not gate.get("passed", True)]
    failures = (report.get("verdict") or {}).get("failures") or []
    if record.status == "partial":
        return failures
    if record.status == "rejected" or failures:
        all_of = f"{len(missed)} of {len(gates)} gates missed" if missed else "every gate passed" if gates else ""
        return [*([all_of] if all_of else []), *failures]
    return [f"every gate passed ({len(gates)}), and it can be served"] if gates else []


def _unfinished(record: RunRecord) -> list[str]:
    at = [c["id"] for c in record.components if c["state"] in ("failed", "interrupted", "running")]
    done = [c["id"] for c in record.components if c["state"] in ("done", "cached")]
    where = f"in {at[-1]}" if at else f"after {done[-1]}" if done else "before the first component"
    word = {"failed": "stopped", "running": "at work"}.get(record.status, record.status)
    return [f"{word} {where}" + (f", after {record.seconds:.0f} s" if record.seconds else ""), *_split(record.error)]


def _split(text: str | None) -> list[str]:
    return [line for line in (text or "").split("\n") if line.strip()]


def _behaviour(report: Report) -> list[str]:
    tests = (report.get("behaviour") or {}).get("tests") or []
    failed = [test for test in tests if not test.get("passed", True)]
    lines = [f"{len(tests) - len(failed)} of {len(tests)} passed"] if tests else []
    for test in failed:
        lines.append(
            f"{test['name']} ({test.get('kind', '')}): {test.get('failed')} of {test.get('cases')} cases failed"
            f" ({test.get('failure_rate') or 0:.1%}), {test.get('max_failure_rate') or 0:.1%} allowed"
        )
        for example in (test.get("examples") or [])[:1]:
            changed = f" -> {example['changed']!r}" if example.get("changed") else ""
            wanted = f"expected {example.get('expected')}, got {example.get('answer')}"
            lines.append(f"  {example.get('text')!r}{changed}: {wanted}")
    return lines


def _data(report: Report) -> list[str]:
    data = report.get("data") or {}
    lines = [*spans_in_words(data.get("spans") or []), *(data.get("anomalies") or [])]
    for drift in data.get("drift") or []:
        if drift.get("exceeded"):
            lines.append(
                f"{drift.get('feature')} drifted, {drift.get('comparison')}: {drift.get('measure')}"
                f" {_figure(drift.get('value'))}, {_figure(drift.get('threshold'))} allowed ({drift.get('action')})"
            )
    for fault in data.get("faults") or []:
        if fault.get("exceeded"):
            lines.append(
                f"{fault.get('fault')}: {fault.get('rows') or 0:,} rows ({fault.get('share') or 0:.2%}),"
                f" {fault.get('max_share') or 0:.2%} allowed ({fault.get('action')})"
            )
    return lines


def _canary(report: Report) -> list[str]:
    canary = (report.get("serving") or {}).get("canary") or {}
    if not canary.get("p50_ms"):
        return []
    return [
        f"p50 {canary['p50_ms']:.1f} ms, p99 {canary['p99_ms']:.1f} ms, {canary['memory_mib']:,} MiB,"
        f" ready after {canary['start_seconds']:.1f} s ({canary['engine']})"
    ]


def _next_steps(record: RunRecord, report: Report, in_production: bool) -> list[str]:
    if record.status in UNFINISHED:
        log = [f"the whole story is in {record.log}"] if record.log else []
        stopped = next((c["id"] for c in record.components if c["state"] == "failed"), "")
        if stopped == "DataGate":
            return [*log, "what is wrong with the data, or was meant to change, and how to let it pass, is said above"]
        as_this = "" if record.spans else ", with --resume as this run"
        return [*log, f"the same command goes on where this one stopped{as_this}: what is done is kept"]
    if record.status != "rejected":
        return []
    gates = (report.get("verdict") or {}).get("gates") or []
    missed = [gate for gate in gates if not gate.get("passed", True)]
    steps = [_threshold_step(gate) for gate in missed[:SHOWN_MISSED]]
    if any(not test.get("passed", True) for test in (report.get("behaviour") or {}).get("tests") or []):
        steps.append("the limits of the behaviour tests are in their file, max_failure_rate")
    if ((report.get("serving") or {}).get("canary") or {}).get("failures") and record.blessed:
        return [*steps, "what a server may take is under canary: in the configuration; the next run tries it again"]
    if record.spans and not in_production:
        steps.append("its new files are tried again together with the next one; the folder of new data stays as it is")
    if in_production:
        return [*steps, "the model is in production all the same; to take it out: tfx-bert rollback"]
    return [*steps, f'to push this model all the same: tfx-bert promote {record.id} --reason "..."']


def _threshold_step(gate: dict[str, Any]) -> str:
    kind, overall = gate.get("kind"), gate.get("slice") in (None, "overall")
    section = "new_data" if kind in CHANGES and not overall else "evaluation"
    key = f"{section}.{kind if kind in CHANGES else 'min' if overall else 'slice_min'}.{gate['metric']}"
    margin = margin_of(gate)
    needed = ""
    if margin is not None:
        lower = gate.get("kind") != "max_drop"
        limit = gate["bound"] + margin if lower else abs(gate["bound"]) - margin
        # Rounded to the side on which the model passes.
        limit = (math.floor if lower else math.ceil)(round(limit * 1e4, 6)) / 1e4
        needed = f"; this model would pass with {'at most' if lower else 'at least'} {limit:.4f}"
    return f"{key} is {gate['bound'] if kind == 'min_gain' else abs(gate['bound']):g}{needed}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
