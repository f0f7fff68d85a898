"""`score`: how large files are answered."""

from typing import Literal

from pydantic import Field

from pipeline.settings.section import Section


class ScoreConfig(Section):
    """`tfx-bert score`."""

    shard_rows: int = Field(
        50_000, ge=1, description="rows in memory at a time; a run that was killed loses the shard that it was in"
    )
    engine: Literal["auto", "savedmodel", "int8"] = Field(
        "auto", description="auto, as the server's: int8 where the model has it"
    )
    on_bad_rows: Literal["error", "quarantine"] = Field(
        "error", description="quarantine: rows that cannot be read go to a file beside the answers"
    )
    timeout_minutes: float = Field(
        720, gt=0, description="of the task in Airflow, after which it is ended; a retry goes on where it stopped"
    )
    schedule: str | None = Field("@daily", description="of the DAG that `compile --score` writes; null: none")
