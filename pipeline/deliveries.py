"""What became of the models of runs: pushed, promoted, rolled back, in production; from ML Metadata, without TFX."""

from collections.abc import Iterable
from pathlib import Path

from modules.push_history import PROMOTE, PUSH, ROLLBACK, Push, pushes_of, standing, undone_by
from pipeline.audit import Audit, read_audits, who_and_why
from pipeline.chosen import located, metadata_of
from pipeline.lineage import Lineage, open_to_read
from pipeline.records import RunRecord
from pipeline.store_address import StoreAddress


class Deliveries:
    """All that one pipeline has pushed."""

    def __init__(self, metadata: StoreAddress, pipeline: str):
        store = open_to_read(metadata)
        self._lineage = None if store is None else Lineage(store, pipeline)
        self.pushes: list[Push] = [] if store is None else pushes_of(store, pipeline)
        self.audits: dict[int, Audit] = {} if store is None else read_audits(store, self.pushes)

    def model_of(self, run_id: str) -> int | None:
        """The id of the model that a run has made or found in the cache."""
        model = None if self._lineage is None else self._lineage.model_of(run_id)
        return None if model is None else int(model.id)

    def in_production(self, run_id: str) -> bool:
        """Whether a run's model is the one in production."""
        model = self.model_of(run_id)
        return model is not None and any(push.model_id == model for push in standing(self.pushes)[:1])

    def in_words(self, record: RunRecord) -> list[str]:
        """What became of a run's model after the run, and what is in production, one sentence each."""
        model = self.model_of(record.id)
        lines = []
        for push in self.pushes if model is not None else ():
            if push.model_id == model and push.at >= record.started:
                lines += self._in_words(push)
        return lines + self._production_in_words(model)

    def _in_words(self, push: Push) -> list[str]:
        audit = self.audits.get(push.id)
        lines = []
        if push.kind == PROMOTE and audit is not None:
            lines.append(f"version {push.version} was promoted{who_and_why(audit)}")
            lines += [f"  it had missed: {missed}" for missed in audit.missed]
        if push.kind == ROLLBACK and audit is not None:
            lines.append(
                f"version {push.version} brought it back from version {audit.came_from}"
                f" (it was version {audit.back_to}){who_and_why(audit)}"
            )
        rollback = undone_by(self.pushes, push)
        if rollback is not None:
            lines.append(f"version {push.version} was rolled back{who_and_why(self.audits.get(rollback.id))}")
        return lines

    def _production_in_words(self, model: int | None) -> list[str]:
        for push in standing(self.pushes)[:1]:
            if model is not None and push.model_id == model:
                return [f"in production now: this model, as version {push.version}"]
            runs = self._lineage.runs_of(push.model_id) if self._lineage and push.model_id else []
            whose = f" (model {push.model_id} of run {runs[-1]})" if runs else ""
            return [f"in production now: version {push.version}{whose}"]
        return ["in production now: nothing was pushed yet"]

    def version_of(self, record: RunRecord) -> str:
        """The version that a run pushed, or that was promoted of it, with a word on how it fared."""
        own = [push for push in self.pushes if push.version == record.pushed_version]
        own = own or [p for p in self.pushes if p.id in self.audits and self.audits[p.id].run == record.id]
        if not own:
            return record.pushed_version or ""
        push = own[-1]
        words = {PUSH: [], PROMOTE: ["promoted"], ROLLBACK: ["by rollback"]}[push.kind]
        words += ["rolled back"] if undone_by(self.pushes, push) else []
        return " ".join([push.version, *([f"({', '.join(words)})"] if words else [])])


def versions_of(roots: Iterable[Path]) -> dict[str, str]:
    """For a table of the runs under these artifact roots, by run id: the versions with how they fared."""
    by_store: dict[tuple[StoreAddress, str], Deliveries] = {}
    found = {}
    for record, root in located(roots):
        key = (metadata_of(record, root), record.config)
        if key not in by_store:
            by_store[key] = Deliveries(*key)
        found[record.id] = by_store[key].version_of(record)
    return found
