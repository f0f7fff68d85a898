"""The way from a pushed version back to the data file, on a pipeline that TFX has really run."""

import hashlib
import json
from pathlib import Path

import pytest
from rich.console import Console
from small_pipeline import run_small, settings_of

from data.errors import UserError
from pipeline.config import Config, config_class
from pipeline.lineage_tree import Branch, lineage_of, tree


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return config_class("binary").model_validate(settings_of(tmp_path))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A data file, with its staged rows in the folder `staged/aa`."""
    file = tmp_path / "my.csv"
    file.write_text("text,label\nwell,yes\n")
    folder = tmp_path / "staged" / "aa"
    folder.mkdir(parents=True)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    manifest = {"source": [str(file)], "sha256": [digest], "staged": {"rows": {"train": 1200, "eval": 300}}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return file


def way(branch: Branch) -> list[str]:
    """The kinds from a branch to its leaf, along the first of each."""
    return [branch.kind, *(way(branch.before[0]) if branch.before else [])]


def test_a_pushed_version_is_followed_back_to_the_file(tmp_path: Path, config: Config, source: Path) -> None:
    run_small(tmp_path, "r1", data=str(tmp_path / "staged" / "aa"), good=True)
    branch = lineage_of(config, None)
    assert way(branch) == ["PushedModel", "ModelBlessing", "Model", "Examples", "staged data", "file"]
    assert branch.facts == ["in production", "version 7", "/serving/7"]
    model = branch.before[0].before[0]
    assert (model.node, model.run, model.execution, model.key) == ("Trainer", "r1", 2, "model")
    staged = model.before[0].before[0]
    assert staged.facts == ["train 1,200", "eval 300"]
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    assert (staged.before[0].uri, staged.before[0].facts) == (str(source), [f"sha256 {digest[:16]}", "the same now"])


def test_a_file_that_has_changed_or_is_gone_is_told(tmp_path: Path, config: Config, source: Path) -> None:
    run_small(tmp_path, "r1", data=str(tmp_path / "staged" / "aa"), good=True)

    def now() -> str:
        return lineage_of(config, None).before[0].before[0].before[0].before[0].before[0].facts[1]

    source.write_text("text,label\nwell,no\n")
    assert now() == "other content now"
    source.unlink()
    assert now() == "no longer there"


def test_a_model_that_came_from_the_cache_is_told_with_the_run_that_made_it(tmp_path: Path, config: Config) -> None:
    run_small(tmp_path, "r1", data="a")
    run_small(tmp_path, "r2", data="a", good=True)
    assert lineage_of(config, "r2").before[0].before[0].run == "r1"


def test_versions_folders_runs_and_models_are_found_by_their_names(tmp_path: Path, config: Config) -> None:
    run_small(tmp_path, "r1", data="a", good=True)
    run_small(tmp_path, "r2", data="b")
    assert lineage_of(config, "7").kind == "PushedModel"
    assert lineage_of(config, "/anywhere/serving/small/7/").kind == "PushedModel"
    with pytest.raises(UserError, match="small has no version, run or model 'r9'; pushed versions: 7"):
        lineage_of(config, "r9")


def test_the_tree_names_each_artifact_with_what_made_it(tmp_path: Path, config: Config, source: Path) -> None:
    run_small(tmp_path, "r1", data=str(tmp_path / "staged" / "aa"), good=True)
    console = Console(width=200)
    with console.capture() as shown:
        console.print(tree(lineage_of(config, None)))
    lines = shown.get().splitlines()
    assert lines[0] == "PushedModel 4 by Push (execution 4, run r1): in production, version 7, /serving/7"
    assert any("Model 2 by Trainer (execution 2, run r1)" in line for line in lines)
    assert any(str(source) in line for line in lines)


def test_without_a_run_or_a_push_the_error_says_so(tmp_path: Path, config: Config) -> None:
    with pytest.raises(UserError, match="small has no runs in"):
        lineage_of(config, None)
    run_small(tmp_path, "r1")
    with pytest.raises(UserError, match="small has pushed nothing yet: name a run"):
        lineage_of(config, None)
