"""TFX's own command line, on both engines, from a folder that is not the project's."""

import subprocess
from pathlib import Path

import pytest
from end_to_end.house import COMPONENTS, House, build


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, sample_csv: Path) -> House:
    house = build(tmp_path_factory.mktemp("tfx"), tiny_encoder, sample_csv)
    for engine in ("local", "beam"):
        runner = house.code / "pipeline" / f"{engine}_runner.py"
        text = runner.read_text(encoding="utf-8")
        runner.write_text(
            text.replace('CONFIG = "reviews"', f'CONFIG = "{house.work / "tiny.yaml"}"'), encoding="utf-8"
        )
    return house


def _tfx(house: House, engine: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    homes = {f"{engine.upper()}_HOME": str(house.work / engine)}
    return subprocess.run(
        ["tfx", *arguments, f"--engine={engine}"],
        cwd=house.work,
        env=house.environment | homes,
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["beam", "local"])
def test_tfx_creates_and_runs_the_pipeline_on(engine: str, house: House) -> None:
    runner = house.code / "pipeline" / f"{engine}_runner.py"
    before = len(house.runs())
    created = _tfx(house, engine, "pipeline", "create", f"--pipeline-path={runner}")
    assert created.returncode == 0, created.stdout + created.stderr
    assert len(house.runs()) == before, "creating a pipeline is not a run"

    ran = _tfx(house, engine, "run", "create", "--pipeline-name=tiny")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    run = house.runs()[0]
    assert run["engine"] == engine
    ran_in_order = [c["id"] for c in run["components"]]
    assert sorted(ran_in_order) == sorted(COMPONENTS)
    # What does not wait for one another comes in any order.
    waiting = (
        "CsvExampleGen",
        "TextStatisticsGen",
        "DataGate",
        "Transform",
        "Trainer",
        "Evaluator",
        "Canary",
        "Pusher",
    )
    assert [name for name in ran_in_order if name in waiting] == list(waiting)
    assert run["status"] in ("pushed", "current")
    assert (Path(run["pushed_path"]) / "saved_model.pb").is_file()
