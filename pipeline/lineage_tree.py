"""The way from a pushed model back to the data file, as a tree."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from rich.markup import escape
from rich.tree import Tree

from data.csv_source import locate, sha256_of
from data.errors import UserError
from data.staging import MANIFEST
from modules.push_history import pushes_of, standing
from pipeline.ancestry import Ancestry
from pipeline.config import Config
from pipeline.lineage import Lineage, open_to_read

SHOWN = 12


@dataclass
class Branch:
    """An artifact or a file, how it came about, and what it was made of.

    kind: an artifact's type, `staged data` or `file`. id: of the artifact. node, run, execution: where it was made.
    facts: what else there is to say, in words. before: empty, too, where `repeated`: the branch stands further up.
    """

    kind: str
    id: int | None = None
    uri: str = ""
    key: str = ""
    node: str = ""
    run: str = ""
    execution: int | None = None
    facts: list[str] = field(default_factory=list)
    repeated: bool = False
    before: list["Branch"] = field(default_factory=list)


def lineage_of(config: Config, wanted: str | None) -> Branch:
    """The tree of a pushed version (the one in production unless `wanted` names another), or of a model.

    Args:
      wanted: a version, its folder, a run's id, or the id of a Model artifact; of a model, its last push if it has one.

    Raises:
      UserError: there is no such model.
    """
    store = open_to_read(config.metadata)
    if store is None:
        raise UserError(f"{config.name} has no runs in {config.artifact_root}: tfx-bert run CONFIG makes models")
    pushes = pushes_of(store, config.name)
    if wanted is None:
        chain = standing(pushes)
        if not chain:
            raise UserError(f"{config.name} has pushed nothing yet: name a run, whose model it shall be")
        start = chain[0].id
    else:
        name = Path(wanted).name
        of_version = [push.id for push in pushes if push.version == name]
        lineage = Lineage(store, config.name)
        model = lineage.model_of(wanted) or (lineage.model(int(wanted)) if wanted.isdecimal() else None)
        if not of_version and model is None:
            there = ", ".join(push.version for push in pushes[-SHOWN:]) or "none"
            raise UserError(f"{config.name} has no version, run or model {wanted!r}; pushed versions: {there}")
        of_model = [push.id for push in pushes if model is not None and push.model_id == model.id]
        start = [*([] if model is None else [model.id]), *of_model, *of_version][-1]
    current = standing(pushes)[:1]
    grower = _Grower(Ancestry(store))
    branch = grower.grow(store.get_artifacts_by_id([start])[0], "")
    if any(push.id == start for push in current):
        branch.facts.insert(0, "in production")
    return branch


class _Grower:
    """Grows each artifact's branch once; where it comes again, it is named alone."""

    def __init__(self, ancestry: Ancestry):
        self._ancestry = ancestry
        self._grown: set[int] = set()

    def grow(self, artifact: Any, key: str) -> Branch:
        branch = Branch(artifact.type, artifact.id, artifact.uri, key)
        branch.facts += _artifact_facts(artifact)
        maker = self._ancestry.maker(artifact.id)
        if maker is not None:
            branch.execution = maker.id
            branch.node, branch.run = self._ancestry.place(maker.id)
        if artifact.id in self._grown:
            branch.repeated = True
            return branch
        self._grown.add(artifact.id)
        if maker is not None:
            branch.facts += _execution_facts(maker)
            branch.before = [self.grow(read, key) for key, read in self._ancestry.inputs(maker.id)]
            branch.before += _staged(maker)
        return branch


def _artifact_facts(artifact: Any) -> list[str]:
    facts = []
    properties = artifact.custom_properties
    if artifact.type == "PushedModel" and "pushed_version" in properties:
        facts.append(f"version {properties['pushed_version'].string_value}")
        facts.append(properties["pushed_destination"].string_value)
    if artifact.type in ("ModelBlessing", "InfraBlessing") and "blessed" in properties:
        facts.append("blessed" if properties["blessed"].int_value else "not blessed")
    if artifact.state == metadata_store_pb2.Artifact.DELETED:
        facts.append("its files were removed")
    return facts


def _execution_facts(execution: Any) -> list[str]:
    facts = []
    properties = execution.custom_properties
    if "custom_config" in properties:
        settings = json.loads(properties["custom_config"].string_value or "{}")
        if isinstance(settings, dict) and "encoder" in settings:
            facts.append(f"encoder {settings['encoder']} ({settings.get('encoder_fingerprint', '')[:12]})")
    for name in ("by", "reason"):
        if name in execution.properties and execution.properties[name].string_value:
            facts.append(f"{name}: {execution.properties[name].string_value}")
    return facts


def _staged(execution: Any) -> list[Branch]:
    """What CsvExampleGen read: the staged rows, and the file that they came from."""
    properties = execution.custom_properties
    if "input_base" not in properties:
        return []
    folder = Path(properties["input_base"].string_value)
    branch = Branch("staged data", uri=str(folder))
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        branch.facts.append("no longer there")
        return [branch]
    branch.facts += [f"{split} {rows:,}" for split, rows in manifest["staged"]["rows"].items()]
    for source, digest in zip(manifest["source"], manifest["sha256"], strict=True):
        branch.before.append(Branch("file", uri=source, facts=[f"sha256 {digest[:16]}", _now(source, digest)]))
    return [branch]


def _now(source: str, digest: str) -> str:
    try:
        return "the same now" if sha256_of(locate(source)) == digest else "other content now"
    except (UserError, OSError):
        return "no longer there"


def tree(branch: Branch) -> Tree:
    """For the terminal; the newest on top, each branch made of those below it."""
    grown = Tree(_label(branch))
    _hang(grown, branch)
    return grown


def _hang(at: Tree, branch: Branch) -> None:
    for before in branch.before:
        _hang(at.add(_label(before)), before)


def _label(branch: Branch) -> str:
    number = "" if branch.id is None else f" {branch.id}"
    made = f" by {branch.node} [dim](execution {branch.execution}, run {escape(branch.run)})[/]" if branch.node else ""
    facts = f": {escape(', '.join(branch.facts))}" if branch.facts and not branch.repeated else ""
    if branch.repeated:
        return f"[dim]{branch.kind}{number}, as above[/]"
    where = "" if branch.kind == "PushedModel" else f"\n[dim]{escape(branch.uri)}[/]"
    return f"[bold]{branch.kind}[/]{number}{made}{facts}{where}"
