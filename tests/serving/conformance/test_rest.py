"""The REST API: paths, formats of JSON and errors, literally as TF Serving has them."""

import base64
from typing import Any
from urllib.parse import quote

import pytest
from serving_models import labels_of, probability_of
from tensorflow.core.framework import types_pb2

from tests.serving.conformance.server import FEATURE, NUMBERS, Server, rows

TEXTS = ("a fine film", "an awful bore of a film, and long")


def _instances(server: Server, *texts: str) -> list[Any]:
    """Instances of the same text for each input."""
    if len(server.inputs) == 1:
        return list(texts)
    return [dict.fromkeys(server.inputs, text) for text in texts]


def _good(server: Server) -> dict[str, Any]:
    return {"instances": _instances(server, "a text")}


# Predictions


def test_predictions_are_those_of_grpc(server: Server) -> None:
    reply = server.post({"instances": _instances(server, *TEXTS)})
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    outputs = server.predict(server.texts(*TEXTS)).outputs
    for at, prediction in enumerate(reply.json["predictions"]):
        assert prediction.keys() == outputs.keys()
        for name, tensor in outputs.items():
            _check_equal(prediction[name], rows(tensor)[at], tensor.dtype)


def _check_equal(got: Any, expected: Any, dtype: int) -> None:
    assert got == (pytest.approx(expected, abs=1e-3) if dtype == types_pb2.DT_FLOAT else expected)


def test_columns_in_columns_out(server: Server) -> None:
    by_name = server.post({"inputs": {name: list(TEXTS) for name in server.inputs}}).json["outputs"]
    outputs = server.predict(server.texts(*TEXTS)).outputs
    assert by_name.keys() == outputs.keys()
    for name, tensor in outputs.items():
        assert len(by_name[name]) == len(TEXTS)
        for got, expected in zip(by_name[name], rows(tensor), strict=True):
            _check_equal(got, expected, tensor.dtype)


def test_instances_may_name_their_inputs(server: Server) -> None:
    named = [dict.fromkeys(server.inputs, text) for text in TEXTS]
    assert server.post({"instances": named}).json == server.post({"instances": _instances(server, *TEXTS)}).json


def test_a_single_input_needs_no_name(own_server: Server) -> None:
    named = own_server.post({"inputs": {"text": list(TEXTS)}})
    assert own_server.post({"inputs": list(TEXTS)}).json == named.json


def test_text_may_come_as_base64(server: Server) -> None:
    encoded = {"b64": base64.b64encode(TEXTS[0].encode()).decode()}
    instance = encoded if len(server.inputs) == 1 else dict.fromkeys(server.inputs, encoded)
    assert server.post({"instances": [instance]}).json == server.post({"instances": _instances(server, TEXTS[0])}).json


def test_signature_and_version_can_be_named(server: Server) -> None:
    reply = server.post({"signature_name": "serving_default", **_good(server)}, f"/versions/{server.version}")
    assert reply.json == server.post(_good(server)).json


def test_paths_have_no_case_and_are_decoded(server: Server) -> None:
    name = f"%{ord(server.model[0]):02X}{quote(server.model[1:])}"
    assert server.rest("POST", f"/V1/MODELS/{name}:predict", _good(server)).status == 200
    assert server.rest("GET", f"/V1/Models/{name}/Metadata").status == 200


# JSON, literally


def test_rows_of_one_output_are_one_line(own_server: Server) -> None:
    reply = own_server.post('{"signature_name": "floats", "instances": [0.5, 1]}', model=NUMBERS)
    assert reply.text == '{\n    "predictions": [0.5, 1.0\n    ]\n}'


def test_a_column_of_one_output_is_a_value_a_line(own_server: Server) -> None:
    reply = own_server.post('{"signature_name": "floats", "inputs": [0.5, 1]}', model=NUMBERS)
    assert reply.text == '{\n    "outputs": [\n        0.5,\n        1.0\n    ]\n}'


def test_rows_of_several_outputs_are_objects(own_server: Server) -> None:
    reply = own_server.post({"instances": [{"x": [1, 2.5], "n": 3}]}, model=NUMBERS)
    assert reply.json == {"predictions": [{"x": [1.0, 2.5], "n": 3, "text_bytes": {"b64": "/w=="}}]}
    assert '            "x": [1.0, 2.5]' in reply.text
    assert reply.text.startswith('{\n    "predictions": [\n        {\n            "')


@pytest.mark.parametrize(
    ("sent", "printed"),
    [
        ("0.2", "0.2"),
        ("1", "1.0"),
        ("1e10", "1e+10"),
        ("16777216.0", "16777216.0"),
        ("0.00001", "1e-05"),
        ("0.333333343", "0.333333343"),
        ("-0.0", "-0.0"),
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("-Infinity", "-Infinity"),
    ],
)
def test_floats_are_printed_as_short_as_they_are(own_server: Server, sent: str, printed: str) -> None:
    reply = own_server.post(f'{{"signature_name": "floats", "instances": [{sent}]}}', model=NUMBERS)
    assert reply.text == f'{{\n    "predictions": [{printed}\n    ]\n}}'


def test_integers_and_booleans_are_exact(own_server: Server) -> None:
    instance = {"flag": True, "big": 2**53 + 1}
    reply = own_server.post({"signature_name": "flags", "instances": [instance]}, model=NUMBERS)
    assert reply.json == {"predictions": [instance]}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"instances": [{"x": [1, 2], "n": 1.0}]}, "is not of expected type: int32"),
        ({"instances": [{"x": [1, 2], "n": "1"}]}, "is not of expected type: int32"),
        ({"instances": [{"x": [1, 2], "n": 2**31}]}, "is not of expected type: int32"),
        ({"instances": [{"x": ["1", 2], "n": 1}]}, "is not of expected type: float"),
        ({"instances": [{"x": [1e300, 2], "n": 1}]}, "without loss of precision."),
        ({"instances": [{"x": [2**24, 2], "n": 1}]}, "without loss of precision."),
        ({"signature_name": "flags", "instances": [{"flag": 1, "big": 1}]}, "is not of expected type: bool"),
        ({"instances": [{"x": [1, 2]}]}, "keys must be equal to: n,x"),
        ({"instances": [{"x": [1, 2], "n": 1, "zzz": 1}]}, "JSON object: does not have named input: zzz"),
        (
            {"instances": [{"x": [1, 2], "n": 1}, {"x": [1], "n": 1}]},
            "Expecting tensor size: 2 but got: 1",
        ),
        ({"instances": [{"x": [1, [2]], "n": 1}]}, "Encountered list at unexpected level: 1 expected < 1"),
        ({"instances": [{"x": [1, 2], "n": 1}, [1]]}, "Expecting object but got list at item 1 of input list"),
        ({"instances": [[1, 2]]}, "instances is a plain list, but expecting list of objects"),
        ({"inputs": [[1, 2]]}, "inputs is a plain value/list, but expecting an object"),
        ({"inputs": {"x": [[1, 2]]}}, "Missing named input: n in 'inputs' object."),
    ],
)
def test_values_that_do_not_fit(own_server: Server, body: Any, error: str) -> None:
    reply = own_server.post(body, model=NUMBERS)
    assert reply.status == 400
    assert error in reply.error


# Errors


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("{}", "Missing 'inputs' or 'instances' key"),
        ('{"instances": ["a"], "inputs": ["a"]}', "one of 'inputs' or 'instances' keys to exist"),
        ('{"instances": []}', "No values in 'instances' array"),
        ('{"instances": "a"}', "to be an list/array"),
        ('["a"]', "Is not object"),
        ('{"signature_name": 1, "instances": ["a"]}', "'signature_name' key must be a string value."),
        (
            '{"signature_name": "nobody", "instances": ["a"]}',
            'Serving signature name: "nobody" not found in signature def',
        ),
        ("", "JSON Parse error: The document is empty"),
    ],
)
def test_bodies_that_are_no_request(server: Server, body: str, error: str) -> None:
    reply = server.post(body)
    assert (reply.status, reply.headers["Content-Type"]) == (400, "application/json")
    assert error in reply.error


def test_json_is_parsed_before_the_model_is_sought(server: Server) -> None:
    reply = server.post('{"instances": [', model="nobody")
    assert reply.status == 400
    assert reply.error.startswith("JSON Parse error: ")
    assert " at offset: 15" in reply.error


@pytest.mark.parametrize(
    ("which", "status", "error"),
    [
        ("/v1/models/nobody:predict", 404, "Servable not found for request: Latest(nobody)"),
        (
            "/v1/models/MODEL/versions/98765:predict",
            404,
            "Servable not found for request: Specific(MODEL, 98765)",
        ),
        ("/v1/models/MODEL/labels/nobody:predict", 400, "Unrecognized servable version label: nobody"),
        ("/v1/models/MODEL/versions/abc:predict", 400, "Malformed request: POST /v1/models/MODEL/versions/abc:predict"),
        ("/v1/models/MODEL", 400, "Malformed request: POST /v1/models/MODEL"),
        ("/v1/models/MODEL:guess", 400, "Malformed request: POST /v1/models/MODEL:guess"),
    ],
)
def test_predictions_of_what_there_is_not(server: Server, which: str, status: int, error: str) -> None:
    reply = server.rest("POST", which.replace("MODEL", server.model), _good(server))
    assert (reply.status, reply.error) == (status, error.replace("MODEL", server.model))


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/v1/x", 400, "Malformed request: GET /v1/x"),
        ("/v1/models", 400, "Missing model name in request."),
        ("/v1/models/MODEL:predict", 400, "Malformed request: GET /v1/models/MODEL:predict"),
        ("/v1/models/nobody", 404, "Could not find any versions of model nobody"),
        ("/v1/models/MODEL/versions/98765", 404, "Could not find version 98765 of model MODEL"),
        ("/v1/models/nobody/metadata", 404, "Servable not found for request: Latest(nobody)"),
    ],
)
def test_pages_that_there_are_not(server: Server, path: str, status: int, error: str) -> None:
    reply = server.rest("GET", path.replace("MODEL", server.model))
    assert (reply.status, reply.error) == (status, error.replace("MODEL", server.model))
    assert reply.headers["Content-Type"] == "application/json"


def test_outside_the_api_nothing_is_found(server: Server) -> None:
    assert server.rest("GET", "/v2/models").status == 404
    assert server.rest("POST", "/nothing", "{}").status == 404


def test_other_origins_are_not_let_in(server: Server) -> None:
    assert server.rest("OPTIONS", f"/v1/models/{server.model}:predict").status == 400
    reply = server.rest("GET", f"/v1/models/{server.model}", headers={"Origin": "http://elsewhere.example"})
    assert "Access-Control-Allow-Origin" not in reply.headers


def test_a_request_ends_after_the_time_limit(own_server: Server) -> None:
    with own_server.waiting() as path:
        reply = own_server.post({"instances": [path]})
    assert reply.status == 504
    assert reply.error


# Classify and regress


def _examples(server: Server, method: str, *texts: str) -> Any:
    if method not in server.signatures:
        pytest.skip(f"{server.model} has no signature {method}")
    reply = server.post({"signature_name": method, "examples": [{FEATURE: text} for text in texts]}, method=method)
    assert reply.status == 200
    return reply.json["results"]


def test_classes_are_pairs_of_label_and_score(server: Server) -> None:
    results = _examples(server, "classify", *TEXTS)
    assert len(results) == len(TEXTS)
    for result in results:
        assert all(isinstance(label, str) for label, _ in result)
        assert sum(score for _, score in result) == pytest.approx(1, abs=1e-3)


def test_classes_are_the_models(own_server: Server) -> None:
    (result,) = _examples(own_server, "classify", TEXTS[0])
    probability = probability_of(TEXTS[0])
    assert [label for label, _ in result] == list(labels_of(1))
    assert [score for _, score in result] == pytest.approx([1 - probability, probability])


def test_regression_is_a_value_an_example(server: Server) -> None:
    results = _examples(server, "regress", *TEXTS)
    expected = rows(server.predict(server.texts(*TEXTS)).outputs["probability"])
    assert results == pytest.approx(expected, abs=1e-3)


def test_features_of_the_context_belong_to_each_example(server: Server) -> None:
    alone = _examples(server, "classify", TEXTS[0])
    body = {"signature_name": "classify", "context": {FEATURE: [TEXTS[0]]}, "examples": [{}, {}]}
    results = server.post(body, method="classify").json["results"]
    assert len(results) == 2
    assert [[label for label, _ in result] for result in results] == 2 * [[label for label, _ in alone[0]]]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "'examples' is expected and was not found"),
        ({"examples": []}, "'examples' value is an empty array"),
        ({"examples": {}}, "'examples' value to be an list/array"),
        ({"examples": [1]}, "Example must be JSON object but got JSON Number"),
        ({"examples": [{"a": None}]}, "Feature: a has element with unexpected JSON type: Null"),
        ({"examples": [{"a": [1, "b"]}]}, "Unexpected element type in feature: a expecting type: int64"),
        ({"signature_name": "nobody", "examples": [{}]}, "No signature was found with the name: nobody"),
    ],
)
def test_examples_that_are_none(server: Server, body: Any, error: str) -> None:
    for method in ("classify", "regress"):
        reply = server.post(body, method=method)
        assert reply.status == 400
        assert error in reply.error


# Status and metadata


def test_status(server: Server) -> None:
    entry = {
        "version": str(server.version),
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    reply = server.rest("GET", f"/v1/models/{server.model}")
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    assert entry in reply.json["model_version_status"]
    alone = server.rest("GET", f"/v1/models/{server.model}/versions/{server.version}")
    assert alone.json == {"model_version_status": [entry]}


def test_metadata(server: Server) -> None:
    reply = server.rest("GET", f"/v1/models/{server.model}/metadata")
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    assert reply.json.keys() == {"model_spec", "metadata"}
    assert reply.json["model_spec"] == {
        "name": server.model,
        "signature_name": "",
        "version": str(server.version),
    }
    signatures = reply.json["metadata"]["signature_def"]["signature_def"]
    assert signatures.keys() == server.signatures.keys()
    given = signatures["serving_default"]["inputs"][server.inputs[0]]
    assert given["dtype"] == "DT_STRING"
    assert given["tensor_shape"]["dim"] == [{"size": "-1", "name": ""}]
    assert given["tensor_shape"]["unknown_rank"] is False
    versioned = server.rest("GET", f"/v1/models/{server.model}/versions/{server.version}/metadata")
    assert versioned.json == reply.json
