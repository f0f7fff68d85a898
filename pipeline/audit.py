"""Who promoted and who rolled back what, and why: the audit records in ML Metadata, read without TFX."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

from modules.push_history import PROMOTE, ROLLBACK, Push, undone_by, withdrawn

EXECUTION_TYPES = {PROMOTE: "tfx_bert.Promote", ROLLBACK: "tfx_bert.Rollback"}
NODES = {PROMOTE: "Promote", ROLLBACK: "Rollback"}
_OUTPUTS = (metadata_store_pb2.Event.OUTPUT, metadata_store_pb2.Event.DECLARED_OUTPUT)


@dataclass(frozen=True)
class Audit:
    """A decision of a person.

    kind: promote or rollback. version: what it pushed. came_from: of a rollback, the version that was in production;
    back_to: the earlier version whose model came back. run: of a promotion, the run that made or judged the model.
    missed: what the model had failed. at: when, in seconds since the epoch.
    """

    kind: str
    by: str
    reason: str
    version: str
    at: float
    model_id: int | None = None
    run: str = ""
    missed: tuple[str, ...] = ()
    came_from: str = ""
    back_to: str = ""

    def properties(self) -> dict[str, Any]:
        """As they stand on the MLMD execution: strings, and the model's id."""
        return {
            "by": self.by,
            "reason": self.reason,
            "version": self.version,
            "time": datetime.fromtimestamp(self.at).astimezone().isoformat(timespec="seconds"),
            "model_id": self.model_id or 0,
            "run": self.run,
            "missed": json.dumps(list(self.missed)),
            "from": self.came_from,
            "to": self.back_to,
        }


def read_audits(store: mlmd.MetadataStore, pushes: Sequence[Push]) -> dict[int, Audit]:
    """The audit record of each push that a person made, by the push's id."""
    audits = {}
    for push in pushes:
        if push.kind in EXECUTION_TYPES:
            events = store.get_events_by_artifact_ids([push.id])
            ids = [event.execution_id for event in events if event.type in _OUTPUTS]
            for execution in store.get_executions_by_id(ids):
                audits[push.id] = _audit(push, execution)
    return audits


def _audit(push: Push, execution: Any) -> Audit:
    text = {name: value.string_value for name, value in execution.properties.items()}
    return Audit(
        kind=push.kind,
        by=text.get("by", ""),
        reason=text.get("reason", ""),
        version=push.version,
        at=datetime.fromisoformat(text["time"]).timestamp() if text.get("time") else push.at,
        model_id=push.model_id,
        run=text.get("run", ""),
        missed=tuple(json.loads(text.get("missed") or "[]")),
        came_from=text.get("from", ""),
        back_to=text.get("to", ""),
    )


def withdrawal_in_words(store: mlmd.MetadataStore, pushes: Sequence[Push], model_id: int) -> str | None:
    """That, when, by whom and why a model was rolled back; None where it was not."""
    push = withdrawn(pushes, model_id)
    rollback = push and undone_by(pushes, push)
    if push is None or rollback is None:
        return None
    audit = read_audits(store, [rollback]).get(rollback.id)
    return f"version {push.version}, this model, was rolled back{who_and_why(audit)}"


def who_and_why(audit: Audit | None) -> str:
    """ " on 2024-02-29 12:00 by ann: reason"."""
    if audit is None:
        return ""
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(audit.at))
    return f" on {when} by {audit.by}" + (f": {audit.reason}" if audit.reason else "")
