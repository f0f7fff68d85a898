"""A fingerprint changes with the code a component loads and with nothing else, on a copy of the project's code."""

import shutil
from pathlib import Path

import pytest

from pipeline import fingerprint as fingerprint_module
from pipeline.fingerprint import fingerprint, own_imports

PROJECT = Path(__file__).parents[2]
# The modules that a component loads, those of the task among them.
LOADED = {
    "Transform": ("modules.preprocessing", "modules.text_preprocessing"),
    "Trainer": ("modules.trainer", "modules.tasks.binary"),
    "Trainer of several classes": ("modules.trainer", "modules.tasks.multiclass"),
    "DataGate": ("modules.data_gate",),
    "BehaviourTests": ("modules.behaviour_tests",),
    "Canary": ("modules.canary", "serving.server.main"),
    "Pusher": ("modules.atomic_pusher",),
}
TRAINERS = {"Trainer", "Trainer of several classes"}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for package in ("modules", "data", "serving"):
        shutil.copytree(PROJECT / package, tmp_path / package)
    monkeypatch.setattr(fingerprint_module, "ROOT", tmp_path)
    return tmp_path


def changed_by_editing(root: Path, module: str) -> set[str]:
    """Which of the components get another fingerprint when `module` is edited."""
    before = {name: fingerprint(modules, ()) for name, modules in LOADED.items()}
    path = root / module.replace(".", "/")
    with open(path / "__init__.py" if path.is_dir() else path.with_suffix(".py"), "a") as file:
        file.write("# edited\n")
    return {name for name, modules in LOADED.items() if fingerprint(modules, ()) != before[name]}


@pytest.mark.parametrize(
    ("edited", "changed"),
    [
        ("modules.trainer", TRAINERS),
        ("modules.threshold", TRAINERS),  # imported by the head
        ("modules.heads.classification", TRAINERS),  # imported in a function of the task
        ("modules.tasks", {"BehaviourTests", "Canary", "DataGate", *TRAINERS}),  # a package's own file
        ("modules.tasks.binary", {"Trainer"}),
        ("modules.tasks.multiclass", {"Trainer of several classes"}),
        ("modules.wordpiece", {"Transform"}),
        ("modules.text_normalization", {"Transform"}),  # through wordpiece
        ("modules.text_preprocessing", {"Transform"}),
        ("modules.holdout", {"Transform", *TRAINERS}),
        ("modules.data_gate", {"DataGate"}),
        ("modules.schema_words", {"DataGate"}),  # through anomalies
        ("data.errors", {"BehaviourTests", "Canary", "DataGate", *TRAINERS}),
        ("modules.atomic_pusher", {"Pusher"}),
        ("serving.server.rest_json", {"Canary"}),  # the server that the canary starts
        ("serving.sessions", {"Canary"}),
        ("serving.lite", {"Canary", *TRAINERS}),  # what an int8 model is compared by
        ("serving.predictor", {"BehaviourTests", "Canary"}),
        ("modules.example_rows", {"BehaviourTests", "Canary"}),
        ("modules.behaviours.changes", {"BehaviourTests"}),
        ("modules.behaviours.read", set()),  # read before TFX starts
        ("serving.client", set()),
        ("data.csv_check", set()),  # checked before TFX starts
        ("data.inspect_csv", set()),  # of tfx-bert init
        ("data.guesses", set()),
        ("modules.tasks.tables", set()),  # of the terminal
        ("modules.production_model", set()),
    ],
)
def test_editing_a_module_changes_those_that_import_it_alone(edited: str, changed: set[str], root: Path) -> None:
    assert changed_by_editing(root, edited) == changed


def test_imports_inside_functions_and_of_submodules_by_package_count(tmp_path: Path, root: Path) -> None:
    (root / "modules" / "a.py").write_text("def f():\n    from modules import b\n")
    (root / "modules" / "b.py").write_text("import modules.c\n")
    (root / "modules" / "c.py").write_text("import os, modules.a\nfrom data import errors as e\n")
    assert own_imports(["modules.a"]) == {"modules", "modules.a", "modules.b", "modules.c", "data", "data.errors"}


def test_imports_for_types_alone_do_not_count(root: Path) -> None:
    (root / "modules" / "a.py").write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from modules import b\n    import data.errors\n"
        "if True:\n    from modules import c\n"
    )
    for name in "bc":
        (root / "modules" / f"{name}.py").write_text("")
    assert own_imports(["modules.a"]) == {"modules", "modules.a", "modules.c"}


def test_a_package_s_own_file_is_followed_however_its_parts_are_imported(root: Path) -> None:
    package = root / "modules" / "shop"
    package.mkdir()
    (package / "__init__.py").write_text("from modules import counter\n")
    for path in (package / "part.py", root / "modules" / "counter.py"):
        path.write_text("")
    whole = {"modules", "modules.a", "modules.shop", "modules.shop.part", "modules.counter"}
    for statement, found in [
        ("from modules.shop.part import x", whole),
        ("from modules.shop import part", whole),
        ("import modules.shop.part", whole),
        ("import modules.shop", whole - {"modules.shop.part"}),
    ]:
        (root / "modules" / "a.py").write_text(statement + "\n")
        assert own_imports(["modules.a"]) == found, statement
    assert "modules.counter" in own_imports(["modules.shop.part"])


def test_the_fingerprint_is_the_same_wherever_the_project_lies(root: Path) -> None:
    here = {name: fingerprint(modules, ("tfx",)) for name, modules in LOADED.items()}
    fingerprint_module.ROOT = PROJECT
    assert {name: fingerprint(modules, ("tfx",)) for name, modules in LOADED.items()} == here


def test_a_package_s_version_matters_and_no_order_does(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = ["modules.data_gate"]
    before = fingerprint(gate, ("tfx", "pyyaml"))
    assert fingerprint(gate, ("pyyaml", "tfx")) == before
    assert fingerprint(gate, ("tfx",)) != before
    both = ["modules.atomic_pusher", "modules.data_gate"]
    assert fingerprint(both, ()) == fingerprint(both[::-1], ()) != fingerprint(gate, ())
    monkeypatch.setattr(fingerprint_module, "version", lambda package: "9.9" if package == "pyyaml" else "1.21.0")
    assert fingerprint(gate, ("tfx", "pyyaml")) != before


def test_without_a_module_the_packages_alone_count() -> None:
    assert fingerprint([], ("tfx",)) != fingerprint([], ())
    assert fingerprint([], ()) != fingerprint(["modules.data_gate"], ())
