"""`push` and `orchestration`: where models and runs go."""

from pydantic import Field

from pipeline.settings.section import Section

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
    beam_args: tuple[str, ...] = Field(IN_MEMORY_BEAM, description="how Beam runs the data components")
    cache: bool = True
