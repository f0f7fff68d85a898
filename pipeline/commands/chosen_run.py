"""Which run a command is about, and its report."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from data.errors import UserError

if TYPE_CHECKING:
    from pipeline.records import RunRecord


class Chosen(NamedTuple):
    """A run and the artifact root that its record lies in."""

    record: "RunRecord"
    root: Path


def chosen_run(run_id: str | None, config: str | None) -> Chosen:
    """The run of that id, or the newest one, of a configuration or of all under ./output.

    Raises:
      UserError: there is none.
    """
    from pipeline.records import read_records
    from pipeline.roots import artifact_roots

    found = [Chosen(record, root) for root in artifact_roots(config) for record in read_records([root])]
    found.sort(key=lambda chosen: chosen.record.started, reverse=True)
    if not found:
        raise UserError(
            "no runs yet: tfx-bert run reviews (runs of a configuration with its own artifact_root: --config)"
        )
    of_id = [chosen for chosen in found if run_id in (None, chosen.record.id)]
    if not of_id:
        known = ", ".join(chosen.record.id for chosen in found[:10])
        raise UserError(f"no run {run_id!r}; there are {known}")
    return of_id[0]


def report_of(chosen: Chosen) -> dict[str, Any]:
    """The report that the run wrote at its end, or one collected now."""
    import json

    from pipeline.report.write import FOLDER

    written = chosen.root / FOLDER / f"{chosen.record.id}.json"
    if written.is_file():
        report: dict[str, Any] = json.loads(written.read_bytes())
        return report
    from pipeline.report.collect import collect

    return collect(chosen.record)
