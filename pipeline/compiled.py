"""A pipeline as TFX's intermediate representation (IR): compiled, kept in a file, and read again. Imports TFX."""

import difflib
from pathlib import Path

from google.protobuf.message import DecodeError
from tfx.dsl.compiler.compiler import Compiler
from tfx.orchestration.pipeline import Pipeline
from tfx.proto.orchestration import pipeline_pb2

from data.errors import UserError
from data.whole_file import put_file
from pipeline.dag_description import PREPARE, VERDICT

FOLDER = "compiled"


def compiled(pipeline: Pipeline) -> pipeline_pb2.Pipeline:
    """The IR without the address of ML Metadata, which may have a password in it: whoever runs it brings it along."""
    ir: pipeline_pb2.Pipeline = Compiler().compile(pipeline)
    deployment = pipeline_pb2.IntermediateDeploymentConfig()
    ir.deployment_config.Unpack(deployment)
    deployment.ClearField("metadata_connection_config")
    ir.deployment_config.Pack(deployment, deterministic=True)
    return ir


def write_ir(ir: pipeline_pb2.Pipeline, file: Path) -> None:
    """Writes the IR whole or not at all; of the same pipeline always the same bytes."""
    put_file(file, ir.SerializeToString(deterministic=True))


def read_ir(file: Path) -> pipeline_pb2.Pipeline:
    """Reads what `write_ir` wrote.

    Raises:
      UserError: there is no such file, or it is no pipeline.
    """
    try:
        ir = pipeline_pb2.Pipeline.FromString(file.read_bytes())
    except OSError as error:
        raise UserError(f"{file}: the compiled pipeline cannot be read ({error.strerror})") from None
    except DecodeError:
        ir = pipeline_pb2.Pipeline()
    if not ir.nodes:
        raise UserError(f"{file}: this is no compiled pipeline, or one of another version of TFX")
    return ir


def of_run(root: Path, run_id: str, node: str | None = None) -> pipeline_pb2.Pipeline:
    """The pipeline of a run that was prepared under an artifact root.

    Raises:
      UserError: it is not there or not readable, or it has no such `node`.
    """
    ir = read_ir(root / FOLDER / f"{run_id}.pb")
    known = upstream_nodes(ir)
    if node is not None and node not in known:
        named = [PREPARE, *known, VERDICT]
        near = difflib.get_close_matches(node, named, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(named)}"
        raise UserError(f"--node {node!r}: the pipeline has no such node; {hint}")
    return ir


def upstream_nodes(ir: pipeline_pb2.Pipeline) -> dict[str, list[str]]:
    """The nodes in an order in which they can be run, each with those that come right before it."""
    nodes = [wrapped.pipeline_node for wrapped in ir.nodes]
    return {node.node_info.id: sorted(node.upstream_nodes) for node in nodes}
