"""A fingerprint changes with the code a component loads and with nothing else, on a copy of the project's code."""

import shutil
from pathlib import Path

import pytest

from pipeline import fingerprint as fingerprint_module
from pipeline.fingerprint import fingerprint, own_imports

PROJECT = Path(__file__).parents[2]
LOADED = ("modules.preprocessing", "modules.trainer", "modules.data_gate", "modules.atomic_pusher")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for package in ("modules", "data"):
        shutil.copytree(PROJECT / package, tmp_path / package)
    monkeypatch.setattr(fingerprint_module, "ROOT", tmp_path)
    return tmp_path


def changed_by_editing(root: Path, module: str) -> set[str]:
    """Which of the loaded modules get another fingerprint when `module` is edited."""
    before = {name: fingerprint(name, ()) for name in LOADED}
    with open(root / (module.replace(".", "/") + ".py"), "a") as file:
        file.write("# edited\n")
    return {name for name in LOADED if fingerprint(name, ()) != before[name]}


@pytest.mark.parametrize(
    ("edited", "changed"),
    [
        ("modules.trainer", {"modules.trainer"}),
        ("modules.threshold", {"modules.trainer"}),  # imported by the trainer
        ("modules.text_normalization", {"modules.preprocessing", "modules.trainer"}),  # through preprocessing
        ("modules.data_gate", {"modules.data_gate"}),
        ("data.errors", {"modules.trainer", "modules.data_gate"}),
        ("modules.atomic_pusher", {"modules.atomic_pusher"}),
        ("data.csv_check", set()),  # checked before TFX starts
        ("modules.production_model", set()),
    ],
)
def test_editing_a_module_changes_those_that_import_it_alone(edited: str, changed: set[str], root: Path) -> None:
    assert changed_by_editing(root, edited) == changed


def test_imports_inside_functions_and_of_submodules_by_package_count(tmp_path: Path, root: Path) -> None:
    (root / "modules" / "a.py").write_text("def f():\n    from modules import b\n")
    (root / "modules" / "b.py").write_text("import modules.c\n")
    (root / "modules" / "c.py").write_text("import os, modules.a\nfrom data import errors as e\n")
    assert own_imports("modules.a") == {"modules.a", "modules.b", "modules.c", "data.errors"}


def test_the_fingerprint_is_the_same_wherever_the_project_lies(root: Path) -> None:
    here = {name: fingerprint(name, ("tfx",)) for name in LOADED}
    fingerprint_module.ROOT = PROJECT
    assert {name: fingerprint(name, ("tfx",)) for name in LOADED} == here


def test_a_package_s_version_matters_and_the_order_of_packages_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint("modules.data_gate", ("tfx", "pyyaml"))
    assert fingerprint("modules.data_gate", ("pyyaml", "tfx")) == before
    assert fingerprint("modules.data_gate", ("tfx",)) != before
    monkeypatch.setattr(fingerprint_module, "version", lambda package: "9.9" if package == "pyyaml" else "1.21.0")
    assert fingerprint("modules.data_gate", ("tfx", "pyyaml")) != before


def test_without_a_module_the_packages_alone_count() -> None:
    assert fingerprint(None, ("tfx",)) != fingerprint(None, ())
    assert fingerprint(None, ()) != fingerprint("modules.data_gate", ())
