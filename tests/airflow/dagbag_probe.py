"""Run by Airflow's Python: what Airflow makes of a dags folder, as JSON. Imports nothing of this project.

python dagbag_probe.py DAGS_FOLDER
"""

import json
import sys
import time
from typing import Any


def facts_of(task: Any) -> dict[str, Any]:
    return {
        "upstream": sorted(task.upstream_task_ids),
        "argv": list(task.argv),
        "folder": task.folder,
        "retries": task.retries,
        "retry_delay": task.retry_delay.total_seconds(),
        "max_retry_delay": task.max_retry_delay.total_seconds(),
        "backoff": bool(task.retry_exponential_backoff),
        "timeout": task.execution_timeout.total_seconds(),
        "pool": task.pool,
        "trigger_rule": task.trigger_rule.value,
        "owner": task.owner,
    }


def main() -> None:
    import airflow.sdk  # noqa: F401  its own import is not what is measured
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.serialized_objects import DagSerialization

    sys.path.append(sys.argv[1])  # as Airflow's DAG processor does
    began = time.perf_counter()
    bag = DagBag(sys.argv[1])
    seconds = time.perf_counter() - began
    dags = {}
    for name, dag in bag.dags.items():
        serialized = DagSerialization.to_dict(dag)
        timetable = serialized["dag"]["timetable"]
        dags[name] = {
            "schedule": timetable["__var"].get("expression") if timetable.get("__var") else None,
            "timezone": str(dag.timezone.name),
            "start": dag.start_date.isoformat(),
            "catchup": dag.catchup,
            "max_active_runs": dag.max_active_runs,
            "max_active_tasks": dag.max_active_tasks,
            "tags": sorted(dag.tags),
            "deadlines": [alert.interval.total_seconds() for alert in dag.deadline or []],
            "tasks": {task.task_id: facts_of(task) for task in dag.tasks},
        }
    found = {
        "seconds": seconds,
        "errors": bag.import_errors,
        "dags": dags,
    }
    print("\n" + json.dumps({**found, "modules": sorted(sys.modules)}))


main()
