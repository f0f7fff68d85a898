"""The served description under fire: schemathesis asks all that it allows, and what it forbids, of the live server."""

import pytest
import schemathesis
from schemathesis import checks
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serving.server.rest_server import read_openapi
from tests.fuzz.server import ECHO, ECHOED, LABEL, MODEL, VERSIONS, Server, examples

pytestmark = pytest.mark.fuzz

CHECKS = [
    checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


anything = schemathesis.openapi.from_dict(read_openapi())
"""The description as it stands: the models, versions and labels of its requests are most likely unknown."""


def with_known_names() -> schemathesis.BaseSchema:
    """The description with the names that the server knows, so that requests come as far as its models."""
    description = read_openapi()
    parameters = description["components"]["parameters"]
    parameters["model"]["schema"] = {"enum": [MODEL, ECHO]}
    parameters["version"]["schema"] = {"enum": [*VERSIONS, 9]}
    parameters["label"]["schema"] = {"enum": [LABEL, "unknown"]}
    schemas = description["components"]["schemas"]
    # The other types of ECHO are no server error, but UNIMPLEMENTED: TensorFlow Serving takes none of them from JSON.
    types = sorted(set(ECHOED) - {"float16", "bfloat16", "complex64", "complex128", "uint16"})
    schemas["SignatureName"] = {"enum": ["serving_default", "serve_examples", "classify", "regress", *types]}
    schemas["Example"] = {"properties": {"text": {"type": "string"}}, "required": ["text"], **schemas["Example"]}
    return schemathesis.openapi.from_dict(description)


known = with_known_names()


def test_the_description_is_the_one_that_the_server_gives(server: Server) -> None:
    reply = server.ask(b"GET", b"/openapi.json")
    assert reply is not None
    assert reply.json == read_openapi()


def assert_as_described(case: schemathesis.Case, server: Server) -> None:
    """No other status, type, header or form than the description has, and no fault of the server."""
    response = case.call(base_url=server.url)
    server.count("OpenAPI", response.status_code)
    case.validate_response(response, checks=CHECKS)


@anything.parametrize()
@examples(0.05)
def test_whatever_the_description_allows(case: schemathesis.Case, server: Server) -> None:
    assert_as_described(case, server)


@known.parametrize()
@examples(0.05)
def test_what_the_description_allows_of_known_models(case: schemathesis.Case, server: Server) -> None:
    assert_as_described(case, server)
