"""Rows answered in bulk as a server answers each of them, in processes of their own: bit for bit."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from score_models import ROOT, bits, environment, texts, write_wide_model

from serving.client import PredictionClient

ROWS = 300
BULK = """
import json, sys
from pathlib import Path
import numpy as np
import tensorflow as tf
from serving.row_engine import RowEngine, one_thread_an_operation

one_thread_an_operation()
# What else a pipeline computes in the same process.
tf.linalg.matmul(tf.random.normal([300, 300]), tf.random.normal([300, 300])).numpy()
engine = RowEngine(Path(sys.argv[1]), "auto", ["text"])
answers = engine.outputs([[text] for text in json.load(sys.stdin)])
print(json.dumps([float(answer["probability"][0]) for answer in answers]))
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wide") / "wide"
    write_wide_model(folder)
    return folder


def served(base: Path, asked: list[str], ready: Path) -> list[float]:
    """Each text's probability, asked alone over gRPC of a server with the default flags."""
    flags = ["--port=auto", "--rest_api_port=0", "--model_name=wide", f"--model_base_path={base}"]
    command = [sys.executable, "-m", "serving.server.main", *flags, f"--ready_file={ready}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        try:
            while not ready.exists():
                with pytest.raises(subprocess.TimeoutExpired):
                    server.wait(0.2)
            port = json.loads(ready.read_text())["grpc_port"]
            with PredictionClient(f"127.0.0.1:{port}", "wide") as client:
                return [client.predict([text])[0].probability for text in asked]
        finally:
            server.kill()


@pytest.mark.slow
def test_rows_in_bulk_have_the_probabilities_of_a_server_bit_for_bit(base: Path, tmp_path: Path) -> None:
    asked = texts(ROWS)
    done = subprocess.run(
        [sys.executable, "-c", BULK, str(base / "1")],
        input=json.dumps(asked),
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    bulk = json.loads(done.stdout.splitlines()[-1])
    assert len(set(bulk)) == ROWS
    assert bits(bulk) == bits(served(base, asked, tmp_path / "ready.json"))


def test_a_process_that_computes_with_several_threads_is_refused(base: Path) -> None:
    program = (
        "import sys; from pathlib import Path; import tensorflow as tf; from serving.row_engine import RowEngine\n"
        "tf.constant(1) + 1\n"
        "try: RowEngine(Path(sys.argv[1]), 'auto', ['text'])\n"
        "except RuntimeError as error: print('refused:', error)"
    )
    command = [sys.executable, "-c", program, str(base / "1")]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    assert "refused: Intra op parallelism cannot be modified" in done.stdout
