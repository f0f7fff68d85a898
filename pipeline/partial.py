"""A partial run: TFX's marks on the graph, and the run that the rest is taken from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import ml_metadata as mlmd
from tfx.orchestration.portable import partial_run_utils
from tfx.proto.orchestration import pipeline_pb2

from pipeline import unchanged
from pipeline.metadata_store import NodeResult, RunReader, opened
from pipeline.records import PASSES
from pipeline.resume import NEW_RUN
from pipeline.selection import Refused, Selection
from pipeline.store_address import StoreAddress
from pipeline.store_handle import StoreHandle

RESOLVER = "tfx.dsl.components.common.resolver.Resolver"


@dataclass(frozen=True)
class Part:
    """What a partial run runs. base: the run that `reused` nodes are taken from, None where none is needed.

    older_code: nodes of those whose code or packages are others now.
    """

    runs: set[str]
    reused: list[str] = field(default_factory=list)
    base: str | None = None
    older_code: list[str] = field(default_factory=list)


def arrange(graph: pipeline_pb2.Pipeline, selection: Selection, address: StoreAddress, earlier: Iterable[str]) -> Part:
    """Marks a compiled graph, whose run id is set, so that the selection alone runs, and brings in what it needs.

    What a resolver looks up, such as the model in production, is looked up anew where a node that runs asks for it.

    Args:
      earlier: ids of this pipeline's runs, the newest first: the first of them that has all that is needed, made of the
        same data with the same settings, is taken.

    Raises:
      Refused: no run has it.
    """
    nodes = {node.pipeline_node.node_info.id: node.pipeline_node for node in graph.nodes}
    partial_run_utils.mark_pipeline(
        graph, from_nodes=selection.starts, to_nodes=selection.starts if selection.only else None
    )
    runs = {name for name, node in nodes.items() if not node.execution_options.HasField("skip")}
    asked = {upstream for name in runs for upstream in nodes[name].upstream_nodes} - runs
    runs |= {name for name in asked if nodes[name].node_info.type.name == RESOLVER}
    for name in runs:  # the snapshot is taken below, before any node runs
        nodes[name].execution_options.ClearField("partial_run_option")
    needed = [name for name, node in nodes.items() if _is_required(node)]
    part = _based(graph, [nodes[name] for name in needed], runs, selection, address, earlier)
    if part.base is not None:
        with StoreHandle(address) as handle:
            partial_run_utils.snapshot(handle, graph, part.base)
    return part


def _is_required(node: pipeline_pb2.PipelineNode) -> bool:
    skip = pipeline_pb2.NodeExecutionOptions.Skip
    options = node.execution_options
    return bool(options.HasField("skip") and options.skip.reuse_artifacts_mode == skip.REQUIRED)


def _based(
    graph: pipeline_pb2.Pipeline,
    needed: Sequence[pipeline_pb2.PipelineNode],
    runs: set[str],
    selection: Selection,
    address: StoreAddress,
    earlier: Iterable[str],
) -> Part:
    """The part with the run that it is based on."""
    if not needed:
        return Part(runs)
    names = [node.node_info.id for node in needed]
    store = opened(address)
    refusals: list[str] = []
    for run_id in earlier:
        reader = RunReader(address, graph.pipeline_info.id, run_id)
        results = {name: reader.node(name) for name in names}
        if not all(_is_there(result) for result in results.values()):
            continue
        found = {node.node_info.id: _changed(store, node, results) for node in needed}
        others = {name: parameters - {unchanged.CODE} for name, parameters in found.items()}
        if not any(others.values()):
            older = [name for name, parameters in found.items() if unchanged.CODE in parameters]
            return Part(runs, names, run_id, older)
        refusals += [f"{run_id}: {_told(others)}"]
    what = f"{selection}: {', '.join(_shown(needed))} must come from an earlier run, and "
    if not refusals:
        raise Refused(
            f"{what}no run has them all; a whole run makes them: the same command without {_option(selection)}"
        )
    raise Refused(
        f"{what}no run made them as they would be made now:\n"
        + "\n".join(f"  run {line}" for line in refusals[:3])
        + f"\nStart further up, or make a whole run: the same command without {_option(selection)}"
    )


def _is_there(result: NodeResult) -> bool:
    """Whether a node succeeded and its outputs still exist."""
    made = result.state in ("done", "cached")
    return made and all(Path(artifact.uri).exists() for artifact in result.outputs.values())


def _changed(store: mlmd.MetadataStore, node: pipeline_pb2.PipelineNode, results: dict[str, NodeResult]) -> set[str]:
    execution = results[node.node_info.id].execution
    if execution is None or node.node_info.type.name == RESOLVER:
        return set()
    return unchanged.changed(store, node, execution)


def _told(others: dict[str, set[str]]) -> str:
    return "; ".join(
        f"{name} had other {' and '.join(unchanged.in_words(parameters))}"
        for name, parameters in others.items()
        if parameters
    )


def _shown(needed: Sequence[pipeline_pb2.PipelineNode]) -> list[str]:
    return [node.node_info.id for node in needed if node.node_info.type.name != RESOLVER]


def _option(selection: Selection) -> str:
    return "--only" if selection.only else "--from"


def finished(graph: pipeline_pb2.Pipeline, address: StoreAddress, run_id: str) -> tuple[set[str], list[str]]:
    """The nodes that an earlier attempt of a run has finished, and those of them whose code or packages changed since.

    Raises:
      Refused: what was finished had other settings or data than it would have now.
    """
    store = opened(address)
    reader = RunReader(address, graph.pipeline_info.id, run_id)
    nodes = {node.pipeline_node.node_info.id: node.pipeline_node for node in graph.nodes}
    results = {name: reader.node(name) for name in nodes}
    done = {name for name, result in results.items() if result.state in ("done", "cached")}
    found = {name: _changed(store, nodes[name], results) for name in nodes if name in done}
    others = {name: parameters - {unchanged.CODE} for name, parameters in found.items()}
    if any(others.values()):
        raise Refused(f"run {run_id} cannot go on: {_told(others)}; {NEW_RUN}")
    return done, [name for name, parameters in found.items() if unchanged.CODE in parameters]


def passes(run_ids: Iterable[str]) -> list[str]:
    """Each run with the parts of its graph that ran once more, the newest first."""
    return [f"{run_id}{part}" for run_id in run_ids for part in reversed(PASSES)]
