"""The REST API on a real socket: its paths, status codes, forms and limits, and what is served beside it."""

import gzip
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rest_app import Server, core_of, serve
from serving_models import labels_of, probability_of, write_answers_model, write_model

from serving.server.core import PredictionCore

MAX_BODY = 20_000
METRICS = "/monitoring/prometheus/metrics"


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PredictionCore]:
    """Model `m` has the versions 1 and 2, `a b/c` answers questions."""
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "m", 1)
    write_model(folder / "m", 2, waits=True)
    write_answers_model(folder / "qa")
    with core_of(**{"m": folder / "m", "a b/c": folder / "qa"}) as core:
        yield core


@pytest.fixture(scope="module")
def server(core: PredictionCore) -> Iterator[Server]:
    with serve(core, max_body_bytes=MAX_BODY, metrics_path=METRICS, metrics=lambda: b"up 1\n") as server:
        yield server


def test_predict_answers_row_by_row(server: Server) -> None:
    reply = server.post("/v1/models/m:predict", {"instances": ["ab", "x" * 1000]})
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    assert reply.headers["X-Model-Version"] == "2"
    assert (
        reply.body.decode()
        == """{
    "predictions": [
        {
            "label": "short-v2",
            "probabilities": [0.998, 0.002],
            "probability": 0.002
        },
        {
            "label": "long-v2",
            "probabilities": [0.0, 1.0],
            "probability": 1.0
        }
    ]
}"""
    )


def test_predict_answers_column_by_column(server: Server) -> None:
    reply = server.post("/v1/models/m:predict", {"inputs": {"text": ["ab"]}, "signature_name": "serving_default"})
    assert reply.json == {"outputs": {"label": ["short-v2"], "probability": [0.002], "probabilities": [[0.998, 0.002]]}}


@pytest.mark.parametrize("path", ["/versions/1", "/versions/0001", "/labels/canary", "/labels/c%61nary"])
def test_a_version_is_named_by_number_or_label(server: Server, path: str) -> None:
    reply = server.post(f"/v1/models/m{path}:predict", {"instances": ["ab"]})
    assert (reply.json["predictions"][0]["label"], reply.headers["X-Model-Version"]) == (labels_of(1)[0], "1")
    states = server.get(f"/v1/models/m{path}").json["model_version_status"]
    assert [state["version"] for state in states] == ["1"]
    assert server.get(f"/v1/models/m{path}/metadata").json["model_spec"]["version"] == "1"


def test_paths_are_of_any_case_but_for_the_method_and_names_are_decoded(server: Server) -> None:
    body = {"instances": [{"question": "?", "context": "over there"}]}
    reply = server.post("/V1/Models/a%20b%2Fc:predict", body)
    assert reply.json["predictions"] == [{"answer": "over", "start": 0, "end": 4, "score": 0.5}]
    assert server.get("/v1/MODELS/a%20b%2fc?query=1").status == 200
    reply = server.post("/v1/models/m:PREDICT", body)
    assert (reply.status, reply.error) == (400, "Malformed request: POST /v1/models/m:PREDICT")


def test_classify_and_regress(server: Server) -> None:
    examples = [{"text": "ab"}, {"text": ["x" * 1000]}]
    reply = server.post("/v1/models/m:classify", {"signature_name": "classify", "examples": examples})
    short, long = labels_of(2)
    assert reply.json == {"results": [[[short, 0.998], [long, 0.002]], [[short, 0.0], [long, 1.0]]]}
    reply = server.post("/v1/models/m:regress", {"signature_name": "regress", "context": examples[0], "examples": [{}]})
    assert reply.json == {"results": [probability_of("ab")]}
    assert reply.headers["X-Model-Version"] == "2"


def test_status_lists_all_versions_newest_first(server: Server) -> None:
    reply = server.get("/v1/models/m")
    available = {"state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert reply.json == {"model_version_status": [{"version": version, **available} for version in ("2", "1")]}


def test_metadata_has_the_signatures(server: Server) -> None:
    metadata = server.get("/v1/models/m/metadata").json
    assert metadata["model_spec"] == {"name": "m", "signature_name": "", "version": "2"}
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    assert {"serving_default", "serve_examples", "classify", "regress"} <= signatures.keys()
    text = signatures["serving_default"]["inputs"]["text"]
    assert text["dtype"] == "DT_STRING"
    assert text["tensor_shape"] == {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/x"),
        ("GET", "/v1/"),
        ("GET", "/v1/models/m:predict"),
        ("POST", "/v1/models/m"),
        ("POST", "/v1/models/m/metadata"),
        ("GET", "/v1/models/m/versions/one"),
        ("POST", "/v1/models/m/versions/1/labels/canary:predict"),
        ("POST", "/v1/models/m:explain"),
        ("PUT", "/v1/models/m"),
        ("DELETE", "/v1/models/m"),
        ("OPTIONS", "/v1/models/m:predict"),
    ],
)
def test_other_requests_of_the_api_are_malformed(server: Server, method: str, path: str) -> None:
    reply = server.ask(method, path, headers={"Origin": "http://localhost"})
    assert (reply.status, reply.error) == (400, f"Malformed request: {method} {path}")
    assert "Access-Control-Allow-Origin" not in reply.headers


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("m:predict", "", 400, "JSON Parse error: The document is empty"),
        ("unknown:predict", "{", 400, "JSON Parse error: Missing a name for object member. at offset: 1"),
        ("unknown:predict", '{"instances": [1]}', 404, "Servable not found for request: Latest(unknown)"),
        ("m/versions/9:predict", '{"instances": ["a"]}', 404, "Servable not found for request: Specific(m, 9)"),
        ("m/labels/x:predict", '{"instances": ["a"]}', 400, "Unrecognized servable version label: x"),
        ("m:predict", "{}", 400, "Missing 'inputs' or 'instances' key"),
        (
            "m:predict",
            '{"signature_name": "x", "instances": ["a"]}',
            400,
            'Serving signature name: "x" not found in signature def',
        ),
        ("m:classify", '{"signature_name": "x", "examples": [{}]}', 400, "No signature was found with the name: x"),
        ("unknown:classify", '{"examples": [{}]}', 404, "Servable not found for request: Latest(unknown)"),
    ],
)
def test_errors_have_tf_servings_codes_and_messages(
    server: Server, path: str, body: str, status: int, message: str
) -> None:
    reply = server.post(f"/v1/models/{path}", body)
    assert reply.status == status
    assert reply.error.startswith(message)


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/v1/models/unknown", 404, "Could not find any versions of model unknown"),
        ("/v1/models/m/versions/9", 404, "Could not find version 9 of model m"),
        ("/v1/models/unknown/metadata", 404, "Servable not found for request: Latest(unknown)"),
        ("/v1/models", 400, "Missing model name in request."),
        ("/v1/models/m/versions/" + "9" * 19, 400, f"Failed to convert version: {'9' * 19} to numeric."),
        ("/v1/models/m/versions/" + "9" * 5000, 400, f"Failed to convert version: {'9' * 5000} to numeric."),
        ("/v1/models/m/versions/" + "0" * 5000 + "9", 404, "Could not find version 9 of model m"),
    ],
)
def test_models_that_are_not_there(server: Server, path: str, status: int, message: str) -> None:
    reply = server.get(path)
    assert (reply.status, reply.error) == (status, message)


def test_a_body_that_is_not_packed_as_its_header_says_is_the_clients_mistake(server: Server) -> None:
    body = json.dumps({"instances": ["a"]})
    reply = server.ask("POST", "/v1/models/m:predict", body, {"Content-Encoding": "gzip"})
    assert reply.status == 400
    assert reply.error == "Request body is not encoded as its Content-Encoding says: gzip"


@pytest.mark.parametrize(("expected", "statuses"), [(b"100-Continue", [100, 200]), (b"\xea", [417]), (b"tea", [417])])
def test_what_a_client_expects_before_it_sends_the_body(server: Server, expected: bytes, statuses: list[int]) -> None:
    body = b'{"instances": ["a"]}'
    head = b"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nExpect: %s\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
        connection.sendall(head % (len(body), expected))
        found = []
        with connection.makefile("rb") as answer:
            for _ in statuses:
                found.append(int(answer.readline().split()[1]))
                while answer.readline().strip():
                    pass
                if found[-1] == 100:
                    connection.sendall(body)
    assert found == statuses


def test_a_too_large_body_is_refused_packed_or_not(server: Server) -> None:
    body = json.dumps({"instances": ["x" * MAX_BODY]}).encode()
    for sent, headers in ((body, {}), (gzip.compress(body), {"Content-Encoding": "gzip"})):
        reply = server.ask("POST", "/v1/models/m:predict", sent, headers)
        assert (reply.status, reply.error) == (413, f"Request body is larger than {MAX_BODY} bytes")
    small = gzip.compress(b'{"instances": ["ab"]}')
    assert server.ask("POST", "/v1/models/m:predict", small, {"Content-Encoding": "gzip"}).status == 200


def test_an_answer_that_comes_too_late_is_a_504_and_the_server_goes_on(core: PredictionCore, tmp_path: Path) -> None:
    with serve(core, timeout_s=0.5, threads=1, max_waiting=1) as server:
        reply = server.post("/v1/models/m:predict", {"instances": [str(tmp_path / "go")]})
        assert reply.status == 504
        assert reply.error
        # The model still runs, and counts.
        assert server.get("/v1/models/m").status == 429
        (tmp_path / "go").touch()
        while server.get("/v1/models/m").status == 429:
            time.sleep(0.01)
        assert server.post("/v1/models/m:predict", {"instances": ["ab"]}).status == 200


def test_more_requests_than_may_wait_are_refused(core: PredictionCore, tmp_path: Path) -> None:
    with serve(core, threads=1, max_waiting=2) as server, ThreadPoolExecutor(4) as clients:
        body = {"instances": [str(tmp_path / "go")]}
        replies = [clients.submit(server.post, "/v1/models/m:predict", body) for _ in range(4)]
        while sum(reply.done() for reply in replies) < 2:
            time.sleep(0.01)
        (tmp_path / "go").touch()
        assert sorted(reply.result().status for reply in replies) == [200, 200, 429, 429]
        refused = next(reply.result() for reply in replies if reply.result().status == 429)
        assert "Too many requests: 2 are running or waiting" in refused.error


def test_a_client_that_never_sends_its_body_does_not_hold_a_place(core: PredictionCore) -> None:
    with serve(core, timeout_s=0.3, max_waiting=1) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as slow:
            slow.sendall(b"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
            slow.settimeout(30)
            assert slow.recv(100).startswith(b"HTTP/1.1 504")
        assert server.get("/v1/models/m").status == 200


def test_a_fault_of_our_own_is_a_500_that_says_its_kind_only(core: PredictionCore) -> None:
    class Broken(PredictionCore):
        def __init__(self) -> None:
            pass

        def get_model_status(self, request: object) -> None:  # type: ignore[override]
            raise KeyError("a secret")

    with serve(Broken()) as server:
        reply = server.get("/v1/models/m")
        assert (reply.status, reply.error) == (500, "KeyError")


def test_metrics_stand_at_their_path_where_they_are_on(core: PredictionCore, server: Server) -> None:
    reply = server.get(METRICS)
    assert (reply.status, reply.body) == (200, b"up 1\n")
    assert reply.headers["Content-Type"].startswith("text/plain")
    with serve(core) as without:
        assert without.get(METRICS).status == 404


def test_paths_outside_of_the_api_are_not_found(server: Server) -> None:
    for path in ("/v2/models", "/v1", "/favicon.ico", "/../etc/passwd"):
        reply = server.get(path)
        assert (reply.status, reply.headers["Content-Type"]) == (404, "text/plain; charset=utf-8")
    assert server.post("/", "").status == 404


def test_other_origins_may_ask_only_with_cors(core: PredictionCore, server: Server) -> None:
    assert "Access-Control-Allow-Origin" not in server.get("/v1/models/m").headers
    with serve(core, cors=True) as open_server:
        preflight = open_server.ask("OPTIONS", "/v1/models/m:predict", headers={"Origin": "https://else.where"})
        assert (preflight.status, preflight.body) == (200, b"")
        for headers in (preflight.headers, open_server.get("/v1/models/m").headers):
            assert headers["Access-Control-Allow-Origin"] == "*"
            assert headers["Access-Control-Allow-Methods"] == "POST, GET"
            assert headers["Access-Control-Allow-Headers"] == "Content-Type"
        assert open_server.ask("OPTIONS", "/v1/models/m:predict").status == 400
