"""On a server, a pipeline's name belongs to one artifact root: two that share it would take each other's models."""

from tfx.dsl.compiler import constants
from tfx.orchestration.portable.mlmd import context_lib

from data.errors import UserError
from pipeline.config import Config
from pipeline.store_handle import StoreHandle

ROOT = "artifact_root"


def claim(config: Config) -> None:
    """Notes in ML Metadata whose the pipeline is, where a store is shared; to be called before a run.

    Raises:
      UserError: it is another artifact root's.
    """
    if not config.metadata.shared:
        return
    ours = str(config.artifact_root.resolve())
    with StoreHandle(config.metadata) as handle:
        kind, name = constants.PIPELINE_CONTEXT_TYPE_NAME, config.name
        context = context_lib.register_context_if_not_exists(handle, kind, name)
        theirs = context.custom_properties[ROOT].string_value if ROOT in context.custom_properties else ours
        if theirs != ours:
            raise UserError(
                f"{config.metadata}: there, the pipeline {name!r} is that of the artifact root {theirs}, this one"
                f" is {ours}: give this one another name, or another database (orchestration.metadata.database)"
            )
        if ROOT not in context.custom_properties:
            context.custom_properties[ROOT].string_value = ours
            handle.store.put_contexts([context])
