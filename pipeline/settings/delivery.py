"""`push`, `orchestration` and `tracking`: where models and runs go."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from pipeline.settings.metadata import MetadataServer
from pipeline.settings.section import Section
from pipeline.tracking import NONE, TRACKERS

# By its full name: the short name DirectRunner would first try to download and start Prism, a program of Beam's.
IN_MEMORY_BEAM = (
    "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner",
    "--direct_running_mode=in_memory",
    "--direct_num_workers=1",
)


class PushConfig(Section):
    folder: str | None = Field(None, description="TF Serving's model_base_path; default ARTIFACT_ROOT/serving/NAME")


class OrchestrationConfig(Section):
    """Where runs live and how Beam runs them."""

    artifact_root: str | None = Field(None, description="default output/NAME")
    metadata_path: str | None = Field(None, description="ML Metadata's SQLite file; default ARTIFACT_ROOT/metadata.db")
    metadata: MetadataServer | None = Field(None, description="a PostgreSQL or MySQL server in place of the file")
    beam_args: tuple[str, ...] = Field(IN_MEMORY_BEAM, description="how Beam runs the data components")
    cache: bool = True
    warm_minutes: float = Field(
        10, ge=0, description="how long the process from which run-node forks stays without work; 0: there is none"
    )
    lease_minutes: float = Field(
        120, ge=1, description="how long a scheduled run keeps the artifact root to itself between two of its tasks"
    )

    @model_validator(mode="after")
    def _one_store(self) -> "OrchestrationConfig":
        if self.metadata and self.metadata_path:
            raise ValueError("metadata_path and metadata are both given: ML Metadata are in a file or on a server")
        return self


def _known_tracker(value: str) -> str:
    if value not in (NONE, *TRACKERS):
        raise ValueError(f"it should be one of {', '.join((NONE, *TRACKERS))}")
    return value


class TrackingConfig(Section):
    """A service that keeps runs for comparison, beside ML Metadata and TensorBoard. No component knows of it."""

    tracker: Annotated[str, AfterValidator(_known_tracker)] = Field(NONE, description="none, or wandb: its own extra")
    project: str | None = Field(None, min_length=1, description="default NAME")
    entity: str | None = Field(None, min_length=1, description="user or team; the API key's own default unless given")
    mode: Literal["auto", "offline"] = Field(
        "auto", description="auto: online where there is an API key; offline: in `folder`, to be uploaded later"
    )
    folder: str | None = Field(None, description="default ARTIFACT_ROOT/tracking; a folder for each run in it")
    table_rows: int = Field(500, ge=0, le=10_000, description="texts in each table of rows; 0: no text is tracked")
    log_model: bool = Field(True, description="false: a reference to the pushed model in place of its files")
    upload_seconds: float = Field(120, ge=1, description="how long a run's end waits for the tracker")
