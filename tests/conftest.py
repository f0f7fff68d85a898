"""What several tests share: the tiny encoder, exported once, and the hand-written sample."""

import csv
from pathlib import Path

import pytest
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
