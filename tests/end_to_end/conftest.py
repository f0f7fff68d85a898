"""A project of its own for each file of tests, and its first run."""

import subprocess
from pathlib import Path

import pytest
from end_to_end.house import House, build


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, sample_csv: Path) -> House:
    return build(tmp_path_factory.mktemp("house"), tiny_encoder, sample_csv)


@pytest.fixture(scope="module")
def first_run(house: House) -> subprocess.CompletedProcess[str]:
    return house.tfx_bert("run", "tiny.yaml")
