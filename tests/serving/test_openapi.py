"""The description of the REST API: that it is one, that it is served, and that the server does what it says."""

import json
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from openapi_spec_validator import validate
from rest_app import Server, core_of, serve
from schemathesis import checks
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from serving_models import write_model

from serving.server.rest_server import read_openapi


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "m")
    with core_of(m=folder / "m") as core, serve(core) as server:
        yield server


def known_to_the_server() -> schemathesis.BaseSchema:
    """The description, with the names that this server knows, lest every request be for an unknown model."""
    description = read_openapi()
    parameters = description["components"]["parameters"]
    parameters["model"]["schema"] = {"enum": ["m", "unknown"]}
    parameters["version"]["schema"] = {"enum": [1, 9]}
    parameters["label"]["schema"] = {"enum": ["canary", "unknown"]}
    schemas = description["components"]["schemas"]
    schemas["SignatureName"] = {"enum": ["serving_default", "classify", "regress", "serve_examples", "unknown"]}
    schemas["Example"] = {"properties": {"text": {"type": "string"}}, "required": ["text"], **schemas["Example"]}
    return schemathesis.openapi.from_dict(description)


described = known_to_the_server()


def test_the_description_is_valid() -> None:
    validate(read_openapi())


def test_the_description_is_served(server: Server) -> None:
    reply = server.get("/openapi.json")
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.json == read_openapi()


def test_every_route_of_the_api_is_described(server: Server) -> None:
    places = ("", "/versions/{version}", "/labels/{label}")
    methods = {":predict": "post", ":classify": "post", ":regress": "post", "": "get", "/metadata": "get"}
    expected = {f"/v1/models/{{model}}{place}{end}": {verb} for place in places for end, verb in methods.items()}
    paths = read_openapi()["paths"]
    found = {path: set(item) - {"parameters"} for path, item in paths.items() if path.startswith("/v1/")}
    assert found == expected


@described.exclude(path_regex="(versions|labels).*:").parametrize()
@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_the_server_answers_as_it_is_described(case: schemathesis.Case, server: Server) -> None:
    """Whatever is asked: no other status, type, header or form than the description has, and no fault."""
    case.call_and_validate(
        base_url=server.url,
        checks=[
            checks.not_a_server_error,
            status_code_conformance,
            content_type_conformance,
            response_headers_conformance,
            response_schema_conformance,
        ],
    )


def test_the_descriptions_own_examples_are_answered(server: Server) -> None:
    bodies = read_openapi()["components"]["requestBodies"]
    for name, method in (("Predict", "predict"), ("Examples", "classify")):
        for example in bodies[name]["content"]["application/json"]["examples"].values():
            reply = server.post(f"/v1/models/m:{method}", json.dumps(example["value"]))
            assert reply.status == 200, reply.body
