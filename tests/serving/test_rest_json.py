"""The REST API's JSON against TF Serving's own forms and messages."""

import json
from contextlib import suppress

import grpc
import numpy as np
import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.framework import types_pb2
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef, TensorInfo
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest, ClassificationResult
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataResponse, SignatureDefMap
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusResponse
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.regression_pb2 import RegressionRequest, RegressionResult

from serving.server import rest_json
from serving.server.errors import ServingError
from serving.server.rest_json import Format


def fill(body: str | bytes, **dtypes: int) -> tuple[PredictRequest, Format]:
    """The request of a JSON text for a signature with inputs of these types; a string `text` if none are given."""
    inputs = {name: TensorInfo(dtype=dtype) for name, dtype in (dtypes or {"text": types_pb2.DT_STRING}).items()}
    request = PredictRequest()
    body = body.encode() if isinstance(body, str) else body
    return request, rest_json.fill_predict_request(body, lambda name: inputs, request)


def refused(body: str | bytes, **dtypes: int) -> str:
    """The message with which a predict request is refused as an invalid argument."""
    with pytest.raises(ServingError) as error:
        fill(body, **dtypes)
    assert error.value.code == grpc.StatusCode.INVALID_ARGUMENT
    return error.value.message


def shape(tensor: TensorProto) -> list[int]:
    return [dim.size for dim in tensor.tensor_shape.dim]


def tensor(text: str) -> TensorProto:
    return text_format.Parse(text, TensorProto())


def test_rows_of_one_input_are_values() -> None:
    request, form = fill('{"instances": ["a", "ü", ""]}')
    assert form is Format.ROW
    assert request.inputs["text"].dtype == types_pb2.DT_STRING
    assert shape(request.inputs["text"]) == [3]
    assert list(request.inputs["text"].string_val) == [b"a", "ü".encode(), b""]
    assert not request.model_spec.signature_name


def test_rows_of_one_input_may_be_objects_too() -> None:
    request, _ = fill('{"instances": [{"text": "a"}, {"text": {"b64": "/w=="}}]}')
    assert list(request.inputs["text"].string_val) == [b"a", b"\xff"]


def test_rows_of_several_inputs_are_objects() -> None:
    request, _ = fill(
        '{"signature_name": "s", "instances": [{"a": [1, 2.5], "b": 3}, {"a": [-1e-3, NaN], "b": 4}]}',
        a=types_pb2.DT_FLOAT,
        b=types_pb2.DT_INT64,
    )
    assert request.model_spec.signature_name == "s"
    assert shape(request.inputs["a"]) == [2, 2]
    np.testing.assert_array_equal(request.inputs["a"].float_val, np.array([1, 2.5, -1e-3, np.nan], np.float32))
    assert shape(request.inputs["b"]) == [2]
    assert list(request.inputs["b"].int64_val) == [3, 4]


@pytest.mark.parametrize(
    ("value", "dims"),
    [('["a", "b"]', [2]), ('"a"', []), ('[["a"], ["b"]]', [2, 1]), ("[]", [0]), ('{"b64": "YQ"}', [])],
)
@pytest.mark.parametrize("named", [False, True])
def test_columns_are_the_whole_tensor(value: str, dims: list[int], named: bool) -> None:
    request, form = fill(f'{{"inputs": {{"text": {value}}}}}' if named else f'{{"inputs": {value}}}')
    assert form is Format.COLUMNAR
    assert request.inputs["text"].HasField("tensor_shape")
    assert shape(request.inputs["text"]) == dims
    assert list(request.inputs["text"].string_val) == [b"a", b"b"][: int(np.prod(dims))]


@pytest.mark.parametrize(
    ("dtype", "field", "text", "values"),
    [
        (types_pb2.DT_FLOAT, "float_val", "[1, -2.5, Infinity, -Infinity]", [1, -2.5, np.inf, -np.inf]),
        (types_pb2.DT_DOUBLE, "double_val", "[1e300, 9007199254740991]", [1e300, 2.0**53 - 1]),
        (types_pb2.DT_INT32, "int_val", "[2147483647, -2147483648]", [2**31 - 1, -(2**31)]),
        (types_pb2.DT_UINT8, "int_val", "[255]", [255]),
        (types_pb2.DT_INT64, "int64_val", "[-9223372036854775808]", [-(2**63)]),
        (types_pb2.DT_UINT32, "uint32_val", "[4294967295]", [2**32 - 1]),
        (types_pb2.DT_UINT64, "uint64_val", "[18446744073709551615]", [2**64 - 1]),
        (types_pb2.DT_BOOL, "bool_val", "[true, false]", [True, False]),
        (types_pb2.DT_FLOAT, "float_val", "[18446744073709551616]", [2.0**64]),
    ],
)
def test_values_stand_in_their_types_field(dtype: int, field: str, text: str, values: list[float]) -> None:
    request, _ = fill(f'{{"inputs": {text}}}', x=dtype)
    assert list(getattr(request.inputs["x"], field)) == values
    assert request.inputs["x"].dtype == dtype


@pytest.mark.parametrize(
    ("dtype", "value", "message"),
    [
        (types_pb2.DT_INT32, "1.0", "JSON Value: 1.0 Type: Number is not of expected type: int32"),
        (types_pb2.DT_INT32, "2147483648", "JSON Value: 2147483648 Type: Number is not of expected type: int32"),
        (types_pb2.DT_INT64, "true", "JSON Value: true Type: True is not of expected type: int64"),
        (types_pb2.DT_FLOAT, '"x"', 'JSON Value: "x" Type: String is not of expected type: float'),
        (types_pb2.DT_FLOAT, "false", "JSON Value: false Type: False is not of expected type: float"),
        (types_pb2.DT_BOOL, "1", "JSON Value: 1 Type: Number is not of expected type: bool"),
        (types_pb2.DT_STRING, "null", "JSON Value: null Type: Null is not of expected type: string"),
        (
            types_pb2.DT_FLOAT,
            '{"a": 1, "b": 2}',
            'JSON Value: {\n    "a": 1,\n    "b": 2\n} Type: Object is not of expected type: float',
        ),
        (types_pb2.DT_STRING, '{"b46": ""}', 'JSON Value: {\n    "b46": ""\n} not formatted correctly for base64 data'),
        (types_pb2.DT_STRING, '{"b64": "!"}', "Unable to base64 decode"),
        (types_pb2.DT_FLOAT, "16777217", "Cannot convert JSON value: 16777217 to float without loss of precision."),
        (types_pb2.DT_FLOAT, "1e39", "Cannot convert JSON value: 1e+39 to float without loss of precision."),
        (
            types_pb2.DT_DOUBLE,
            "9007199254740992",
            "Cannot convert JSON value: 9007199254740992 to double without loss of precision.",
        ),
    ],
)
def test_a_value_of_another_type_is_refused(dtype: int, value: str, message: str) -> None:
    assert refused(f'{{"inputs": {{"x": {value}}}}}', x=dtype) == message


def test_a_type_that_json_cannot_give_is_not_implemented() -> None:
    with pytest.raises(ServingError) as error:
        fill('{"inputs": [1]}', x=types_pb2.DT_HALF)
    assert error.value.code == grpc.StatusCode.UNIMPLEMENTED
    assert error.value.message == "Conversion of JSON Value: 1 to type: half"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('["a", ["b"]]', "Encountered list at unexpected level: 1 expected < 1"),
        ('[["a"], ["b", "c"]]', "Encountered list at unexpected size: 2 at level: 1 expected size: 1"),
        ('[["a"], "b"]', 'JSON Value: "b" found at incorrect level: 2 in the JSON DOM. Expected at level: 2'),
    ],
)
def test_lists_of_several_depths_or_widths_are_refused(value: str, message: str) -> None:
    assert refused(f'{{"inputs": {value}}}') == message


FLOATS = {"a": types_pb2.DT_FLOAT, "b": types_pb2.DT_FLOAT}


@pytest.mark.parametrize(
    ("instances", "dtypes", "message"),
    [
        (
            '["a", 1]',
            {},
            "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: 1 "
            "Type: Number is not of expected type: string",
        ),
        (
            '[["a"], ["b", "c"]]',
            {},
            "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
            "Expecting tensor size: 1 but got: 2",
        ),
        (
            '[["a"], [["b"]]]',
            {},
            "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
            "Expecting shape [1] but got: [1,1]",
        ),
        (
            '[{"a": 1, "b": "x"}]',
            FLOATS,
            "Failed to process element: 0 key: b of 'instances' list. Error: "
            'INVALID_ARGUMENT: JSON Value: "x" Type: String is not of expected type: float',
        ),
        (
            '[{"a": 1, "c": 1}]',
            FLOATS,
            "Failed to process element: 0 key: c of 'instances' list. Error: "
            "INVALID_ARGUMENT: JSON object: does not have named input: c",
        ),
        (
            '[{"a": 1, "b": 1}, {"a": 1}]',
            FLOATS,
            "Failed to process element: 1 of 'instances' list. JSON object: {\n"
            '    "a": 1\n} keys must be equal to: a,b',
        ),
        (
            "[1]",
            FLOATS,
            "instances is a plain list, but expecting list of objects as multiple input tensors required as "
            "per tensorinfo_map",
        ),
        ('["a", {"x": 1}]', {}, "Expecting value/list but got object at item 1 of input list"),
        ('[{"text": "a"}, "b"]', {}, "Expecting object but got list at item 1 of input list"),
    ],
)
def test_of_a_bad_row_its_number_is_said(instances: str, dtypes: dict[str, int], message: str) -> None:
    assert refused(f'{{"instances": {instances}}}', **dtypes) == message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "JSON Parse error: The document is empty"),
        (" \n", "JSON Parse error: The document is empty. at offset: 2"),
        ("instances = [1, 2]", "JSON Parse error: Invalid value. at offset: 0"),
        ('{"instances": [1,]}', "JSON Parse error: Invalid value. at offset: 17"),
        ('{"ü": [1 2]}', "JSON Parse error: Missing a comma or ] after an array element. at offset: 10"),
        ('{"a": [1] "b": 2}', "JSON Parse error: Missing a comma or } after an object member. at offset: 10"),
        ("{a: 1}", "JSON Parse error: Missing a name for object member. at offset: 1"),
        ('{"a" 1}', "JSON Parse error: Missing a colon after a name of object member. at offset: 5"),
        ("{} {}", "JSON Parse error: The document root must not be followed by other values. at offset: 3"),
        ('{"a": 1.}', "JSON Parse error: Missing fraction part in number. at offset: 8"),
        ('{"a": "\\x"}', "JSON Parse error: Invalid escape character in string. at offset: 7"),
        ('{"a": 1e999}', "JSON Parse error: Number too big to be stored in double. at offset: 6"),
        (f'{{"a": {"1" * 211}e99}}', "JSON Parse error: Number too big to be stored in double. at offset: 6"),
        (
            '{"a": "e999", "b": ' + "9" * 5000 + "}",
            "JSON Parse error: Number too big to be stored in double. at offset: 19",
        ),
        ('{"a": "\\ud800"}', "JSON Parse error: The surrogate pair in string is invalid. at offset: 7"),
        ('{"a": "\\ud800\\u0041"}', "JSON Parse error: The surrogate pair in string is invalid. at offset: 7"),
        ('{"a": "\\udc00"}', "JSON Parse error: The surrogate pair in string is invalid. at offset: 7"),
        ("[1]", "JSON Value: [\n    1\n] Is not object"),
        (
            '{"signature_name": 100}',
            'JSON Value: {\n    "signature_name": 100\n} not formatted correctly. '
            "'signature_name' key must be a string value.",
        ),
        ("{}", "Missing 'inputs' or 'instances' key"),
        ('{"instances": 1}', "JSON Value: {\n    \"instances\": 1\n} Excepting 'instances' to be an list/array"),
        ('{"instances": []}', "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array"),
        (
            '{"instances": [], "inputs": 1}',
            'JSON Value: {\n    "instances": [],\n    "inputs": 1\n} Not formatted '
            "correctly expecting only one of 'inputs' or 'instances' keys to exist ",
        ),
    ],
)
def test_what_is_no_predict_request_is_said_as_tf_serving_says_it(body: str, message: str) -> None:
    assert refused(body) == message


def test_missing_inputs_and_a_bare_value_for_several_inputs_are_refused() -> None:
    assert refused('{"inputs": {"a": 1}}', **FLOATS) == "Missing named input: b in 'inputs' object."
    assert refused('{"inputs": [1]}', **FLOATS) == (
        "inputs is a plain value/list, but expecting an object as multiple input tensors required as per tensorinfo_map"
    )


def test_the_signature_is_only_asked_for_once_the_body_is_json() -> None:
    def unknown(name: str) -> dict[str, TensorInfo]:
        raise ServingError(grpc.StatusCode.NOT_FOUND, name)

    with pytest.raises(ServingError, match="JSON Parse error"):
        rest_json.fill_predict_request(b"{", unknown, PredictRequest())
    with pytest.raises(ServingError, match=r"^mine$"):
        rest_json.fill_predict_request(b'{"signature_name": "mine"}', unknown, PredictRequest())
    with pytest.raises(ServingError, match="Failed to get input map for signature: DEFAULT"):
        rest_json.fill_predict_request(b"{}", lambda name: {}, PredictRequest())


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("depth", [900, 100_000])
def test_a_deeply_nested_document_is_refused(opening: str, depth: int) -> None:
    closing = {"[": "]"}.get(opening, "}")
    message = refused('{"inputs": ' + opening * depth + "1" + closing * depth + "}")
    assert len(message) < 2 * rest_json.SHOWN_CHARACTERS


def test_messages_show_the_beginning_of_a_long_value() -> None:
    message = refused('{"other": "' + "x" * 10_000 + '", "instances": 1}')
    assert message.endswith("xxx...TRUNCATED Excepting 'instances' to be an list/array")
    assert len(message) < 2 * rest_json.SHOWN_CHARACTERS


@given(st.binary(max_size=60))
def test_no_body_brings_the_parser_down(body: bytes) -> None:
    for text in (body, b'{"instances": ["' + body + b'"]}', b'{"inputs": ' + body + b"}"):
        with suppress(ServingError):
            request, form = fill(text)
            json.loads(rest_json.predict_json(request.inputs, form))


@pytest.mark.parametrize(
    "heavy",
    ['"' + r"\"" * 10**6, '"' + "\\" * 10**6, "[" + ("1" * 209 + ",") * 10**5, "9" * 10**6],
    ids=["quotation marks", "backslashes", "numbers", "a number"],
)
def test_a_heavy_body_is_read_once(heavy: str) -> None:
    """A pattern that went back for each of its bytes would need hours."""
    assert refused(f'{{"a": 1e100, "b": {heavy}').startswith("JSON Parse error: ")


@given(st.text(st.characters(codec=None)))
def test_every_message_is_json(message: str) -> None:
    assert json.loads(rest_json.error_json(message)).keys() == {"error"}


def test_bytes_that_are_not_utf8_and_a_byte_order_mark_are_taken_as_tf_serving_takes_them() -> None:
    request, _ = fill(b'\xef\xbb\xbf{"instances": ["\xff\xfe", "\\ud83d\\ude00"]}')
    assert list(request.inputs["text"].string_val) == [b"\xff\xfe", "😀".encode()]


LABEL = tensor(
    'dtype: DT_STRING tensor_shape { dim { size: 2 } } string_val: "a" string_val: "\\"\\303\\274\\"\\n\\037"'
)
SCORES = tensor("dtype: DT_FLOAT tensor_shape { dim { size: 2 } dim { size: 2 } } float_val: [0.2, 1, 9e6, 3e-05]")
FLAT = tensor("dtype: DT_FLOAT tensor_shape { dim { size: 3 } } float_val: [2.5, 0.2, 16777216]")


def test_one_output_row_by_row() -> None:
    assert rest_json.predict_json({"x": FLAT}, Format.ROW) == (b'{\n    "predictions": [2.5, 0.2, 16777216.0\n    ]\n}')
    assert rest_json.predict_json({"x": SCORES}, Format.ROW) == (
        b'{\n    "predictions": [[0.2, 1.0], [9e+06, 3e-05]\n    ]\n}'
    )


def test_several_outputs_row_by_row() -> None:
    expected = r"""{
    "predictions": [
        {
            "label": "a",
            "scores": [0.2, 1.0]
        },
        {
            "label": "\"ü\"\n\u001F",
            "scores": [9e+06, 3e-05]
        }
    ]
}"""
    assert rest_json.predict_json({"scores": SCORES, "label": LABEL}, Format.ROW).decode() == expected


def test_one_output_as_a_column() -> None:
    assert (
        rest_json.predict_json({"x": FLAT}, Format.COLUMNAR).decode()
        == """{
    "outputs": [
        2.5,
        0.2,
        16777216.0
    ]
}"""
    )
    scalar = tensor("dtype: DT_INT64 tensor_shape { } int64_val: -7")
    assert rest_json.predict_json({"x": scalar}, Format.COLUMNAR) == b'{\n    "outputs": -7\n}'


def test_several_outputs_as_columns() -> None:
    empty = tensor("dtype: DT_BOOL tensor_shape { dim { size: 0 } }")
    text = rest_json.predict_json({"b": SCORES, "a": empty}, Format.COLUMNAR).decode()
    assert (
        text
        == """{
    "outputs": {
        "a": [],
        "b": [
            [
                0.2,
                1.0
            ],
            [
                9e+06,
                3e-05
            ]
        ]
    }
}"""
    )


def test_bytes_are_base64_where_the_outputs_name_says_so() -> None:
    image = tensor('dtype: DT_STRING tensor_shape { dim { size: 1 } } string_val: "\\377"')
    assert (
        rest_json.predict_json({"image_bytes": image}, Format.ROW).decode()
        == """{
    "predictions": [{
            "b64": "/w=="
        }
    ]
}"""
    )
    assert json.loads(rest_json.predict_json({"image_bytes": image, "image": image}, Format.COLUMNAR)) == {
        "outputs": {"image_bytes": [{"b64": "/w=="}], "image": ["\ufffd"]}
    }


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("dtype: DT_INT32 tensor_shape { dim { size: 2 } } int_val: [1, -1]", "1, -1"),
        ("dtype: DT_BOOL tensor_shape { dim { size: 2 } } bool_val: [true, false]", "true, false"),
        ("dtype: DT_DOUBLE tensor_shape { dim { size: 2 } } double_val: [0.1, 1e-300]", "0.1, 1e-300"),
        ("dtype: DT_DOUBLE tensor_shape { dim { size: 1 } } double_val: 0.30000000000000004", "0.30000000000000004"),
        ("dtype: DT_HALF tensor_shape { dim { size: 2 } } half_val: [15360, 32256]", "1.0, NaN"),
        ("dtype: DT_FLOAT tensor_shape { dim { size: 3 } } float_val: [nan, inf, -inf]", "NaN, Infinity, -Infinity"),
        ("dtype: DT_FLOAT tensor_shape { dim { size: 2 } } float_val: [0.123456789, -0.0]", "0.123456791, -0.0"),
    ],
)
def test_numbers_are_written_as_tf_serving_writes_them(text: str, values: str) -> None:
    written = rest_json.predict_json({"x": tensor(text)}, Format.ROW).decode()
    assert written == f'{{\n    "predictions": [{values}\n    ]\n}}'


@given(st.floats(width=32))
def test_every_float_comes_back_as_it_was(value: float) -> None:
    proto = TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[value])
    proto.tensor_shape.dim.add(size=1)
    [back] = json.loads(rest_json.predict_json({"x": proto}, Format.ROW))["predictions"]
    np.testing.assert_equal(np.float32(back), np.float32(value))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(), min_size=1))
def test_every_text_comes_back_as_it_was(texts: list[str]) -> None:
    request, _ = fill(json.dumps({"instances": texts}))
    assert json.loads(rest_json.predict_json(request.inputs, Format.ROW))["predictions"] == texts


def test_packed_tensors_are_written_too() -> None:
    packed = TensorProto(dtype=types_pb2.DT_FLOAT, tensor_content=np.array([0.5, 2], np.float32).tobytes())
    packed.tensor_shape.dim.add(size=2)
    assert json.loads(rest_json.predict_json({"x": packed}, Format.ROW)) == {"predictions": [0.5, 2.0]}


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({}, "Cannot convert empty tensor map to JSON"),
        ({"x": tensor("dtype: DT_FLOAT tensor_shape { } float_val: 1")}, "Tensor name: x has no shape information "),
        ({"x": FLAT, "y": LABEL}, "Tensor name: y has inconsistent batch size: 2 expecting: 3"),
        (
            {"x": tensor("dtype: DT_COMPLEX64 tensor_shape { dim { size: 1 } } scomplex_val: [1, 2]")},
            "Failed to write JSON value for tensor type: complex64",
        ),
    ],
)
def test_outputs_that_json_cannot_hold_are_refused(outputs: dict[str, TensorProto], message: str) -> None:
    with pytest.raises(ServingError) as error:
        rest_json.predict_json(outputs, Format.ROW)
    assert error.value.message == message


def test_examples_have_features_of_the_kind_of_their_values() -> None:
    request = ClassificationRequest()
    body = b"""{"signature_name": "classify", "examples": [
        {"text": "a", "bytes": [{"b64": "/w"}, "b"], "float": [1.5, -Infinity], "int": [1, true], "none": []}, {}]}"""
    rest_json.fill_examples_request(body, request)
    assert request.model_spec.signature_name == "classify"
    expected = """
        example_list {
          examples { features {
            feature { key: "text" value { bytes_list { value: "a" } } }
            feature { key: "bytes" value { bytes_list { value: "\\377" value: "b" } } }
            feature { key: "float" value { float_list { value: [1.5, -inf] } } }
            feature { key: "int" value { int64_list { value: [1, 1] } } }
            feature { key: "none" value { } }
          } }
          examples { }
        }"""
    assert request.input == text_format.Parse(expected, type(request.input)())


def test_a_context_stands_beside_the_examples() -> None:
    request = RegressionRequest()
    rest_json.fill_examples_request(b'{"context": {"c": 1}, "examples": [{"x": 2.0}]}', request)
    both = request.input.example_list_with_context
    assert both.context.features.feature["c"].int64_list.value == [1]
    assert [each.features.feature["x"].float_list.value for each in both.examples] == [[2.0]]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{}", "JSON Value: {} When method is classify, key 'examples' is expected and was not found"),
        ('{"examples": 1}', "JSON Value: {\n    \"examples\": 1\n} Expecting 'examples' value to be an list/array"),
        ('{"examples": []}', "JSON Value: {\n    \"examples\": []\n} 'examples' value is an empty array"),
        ('{"examples": [[]]}', "Example must be JSON object but got JSON Array"),
        ('{"examples": [{"x": [1, 2.0]}]}', "Unexpected element type in feature: x expecting type: int64"),
        ('{"examples": [{"x": ["a", 2]}]}', "Unexpected element type in feature: x expecting type: bytes"),
        ('{"examples": [{"x": null}]}', "Feature: x has element with unexpected JSON type: Null"),
        ('{"examples": [{"x": [[1]]}]}', "Feature: x has element with unexpected JSON type: Array"),
        ('{"examples": [{"x": {"a": 1}}]}', "Feature: x has element with unexpected JSON type: Object"),
        ('{"examples": [{"x": 9223372036854775808}]}', "Feature: x has uint64 element. Only int64 is supported."),
        ('{"examples": [{"x": 1e39}]}', "Cannot convert JSON value: 1e+39 to float without loss of precision."),
    ],
)
def test_what_is_no_examples_request_is_said_as_tf_serving_says_it(body: str, message: str) -> None:
    with pytest.raises(ServingError) as error:
        rest_json.fill_examples_request(body.encode(), ClassificationRequest())
    assert error.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert error.value.message == message


def test_classifications_and_regressions() -> None:
    classes = 'classifications { classes { label: "car" score: 0.2 } classes { label: "bike" score: 0.7 } }'
    result = text_format.Parse(2 * classes, ClassificationResult())
    assert rest_json.classification_json(result) == (
        b'{\n    "results": [[["car", 0.2], ["bike", 0.7]], [["car", 0.2], ["bike", 0.7]]\n    ]\n}'
    )
    values = text_format.Parse("regressions { value: 0.2 } regressions { value: 1 }", RegressionResult())
    assert rest_json.regression_json(values) == b'{\n    "results": [0.2, 1.0]\n}'
    with pytest.raises(ServingError, match="Cannot convert empty ClassificationResults to JSON"):
        rest_json.classification_json(ClassificationResult())
    with pytest.raises(ServingError, match="Cannot convert empty RegressionResults to JSON"):
        rest_json.regression_json(RegressionResult())


def test_states_are_written_whole() -> None:
    response = text_format.Parse(
        "model_version_status { version: 1 state: AVAILABLE status { } }", GetModelStatusResponse()
    )
    assert (
        rest_json.status_json(response).decode()
        == """{
 "model_version_status": [
  {
   "version": "1",
   "state": "AVAILABLE",
   "status": {
    "error_code": "OK",
    "error_message": ""
   }
  }
 ]
}
"""
    )


def test_signatures_stand_doubly_nested() -> None:
    response = GetModelMetadataResponse()
    response.model_spec.name = "m"
    response.model_spec.version.value = 7
    signatures = SignatureDefMap(signature_def={"s": SignatureDef(method_name="tensorflow/serving/predict")})
    signatures.signature_def["s"].inputs["x"].tensor_shape.dim.add(size=-1)
    response.metadata["signature_def"].Pack(signatures)
    answer = json.loads(rest_json.metadata_json(response))
    assert answer["model_spec"] == {"name": "m", "signature_name": "", "version": "7"}
    signature = answer["metadata"]["signature_def"]["signature_def"]["s"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert signature["inputs"]["x"]["tensor_shape"]["dim"] == [{"size": "-1", "name": ""}]
    assert signature["inputs"]["x"]["dtype"] == "DT_INVALID"


def test_an_error_is_one_string() -> None:
    assert rest_json.error_json('a "b"\n') == b'{\n    "error": "a \\"b\\"\\n"\n}'
