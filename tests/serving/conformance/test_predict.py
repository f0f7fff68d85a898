"""Predict by gRPC: answers, and TF Serving's errors word for word."""

from collections.abc import Callable, Mapping
from typing import Any

import grpc
import pytest
from serving_models import FULL_LENGTH, labels_of, probability_of
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
from tensorflow_serving.apis.predict_pb2 import PredictRequest

from tests.serving.conformance.server import Server, raises, rows, strings

TEXTS = ("a fine film", "an awful bore of a film, and long")
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def test_answers_each_text_and_says_which_version_did(server: Server) -> None:
    response = server.predict(server.texts(*TEXTS))
    assert sorted(response.outputs) == server.outputs
    assert all(tensor.tensor_shape.dim[0].size == len(TEXTS) for tensor in response.outputs.values())
    assert response.model_spec.name == server.model
    assert response.model_spec.signature_name == "serving_default"
    assert response.model_spec.version.value > 0


def test_answers_are_the_models(own_server: Server) -> None:
    texts = ["short", "long" * FULL_LENGTH]
    outputs = own_server.predict(own_server.texts(*texts)).outputs
    assert rows(outputs["label"]) == list(labels_of(1))
    assert rows(outputs["probability"]) == pytest.approx([probability_of(text) for text in texts])
    assert rows(outputs["probabilities"]) == [
        pytest.approx([1 - probability_of(text), probability_of(text)], abs=1e-6) for text in texts
    ]


def test_answers_do_not_depend_on_the_batch(server: Server) -> None:
    together = server.predict(server.texts(*TEXTS)).outputs
    for at, text in enumerate(TEXTS):
        alone = server.predict(server.texts(text)).outputs
        for name, tensor in alone.items():
            expected, got = rows(tensor)[0], rows(together[name])[at]
            assert got == (pytest.approx(expected, abs=1e-3) if tensor.dtype == types_pb2.DT_FLOAT else expected)


def test_values_are_typed_fields(server: Server) -> None:
    for tensor in server.predict(server.texts("a text")).outputs.values():
        assert not tensor.tensor_content
        fields = {types_pb2.DT_FLOAT: tensor.float_val, types_pb2.DT_STRING: tensor.string_val}
        assert len(fields.get(tensor.dtype, tensor.int_val)) > 0


def test_a_signature_and_a_version_can_be_named(server: Server) -> None:
    named = server.predict(server.texts("a text"), signature_name="serving_default", version=server.version)
    assert named == server.predict(server.texts("a text"))


def test_output_filter_leaves_the_named_outputs(server: Server) -> None:
    for name in server.outputs:
        assert list(server.predict(server.texts("a text"), [name]).outputs) == [name]


def test_tensor_content_is_read_as_well(own_server: Server) -> None:
    spec = own_server.spec(name="numbers", signature_name="floats")
    shape = tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=2)])
    packed = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_FLOAT, tensor_shape=shape, tensor_content=b"\0\0\x80\x3f\0\0\0\x40"
    )
    request = PredictRequest(model_spec=spec, inputs={"x": packed})
    assert rows(own_server.predictions.Predict(request).outputs["y"]) == [1, 2]


def test_a_message_of_many_megabytes_is_taken(own_server: Server) -> None:
    megabytes = "long" * 2_000_000
    outputs = own_server.predict(own_server.texts(megabytes)).outputs
    assert rows(outputs["probability"]) == [1]


# Errors


@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        ({"name": ""}, INVALID, "ModelSpec has no name specified."),
        ({"name": "nobody"}, grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(nobody)"),
        (
            {"version": 98765},
            grpc.StatusCode.NOT_FOUND,
            "Servable not found for request: Specific(MODEL, 98765)",
        ),
        ({"version_label": "nobody"}, INVALID, "Unrecognized servable version label: nobody"),
        (
            {"signature_name": "nobody"},
            grpc.StatusCode.FAILED_PRECONDITION,
            'Serving signature key "nobody" not found.',
        ),
    ],
    ids=["no name", "model", "version", "label", "signature"],
)
def test_a_spec_that_nothing_answers(
    server: Server, spec: Mapping[str, Any], code: grpc.StatusCode, message: str
) -> None:
    # A spec without a name still has a field set, so that the message has a spec at all.
    call = lambda: server.predict(server.texts("a text"), **{"signature_name": "serving_default", **spec})  # noqa: E731
    assert raises(call) == (code, message.replace("MODEL", server.model))


def test_a_request_without_a_spec(server: Server) -> None:
    request = PredictRequest(inputs=server.texts("a text"))
    assert raises(lambda: server.predictions.Predict(request)) == (INVALID, "Missing ModelSpec")


def test_missing_inputs(server: Server) -> None:
    names = ",".join(server.inputs)
    count = len(server.inputs)
    assert raises(lambda: server.predict({})) == (
        INVALID,
        f"input size does not match signature: 0!={count} len({{}}) != len({{{names}}}). "
        f"Sent extra: {{}}. Missing but required: {{{names}}}.",
    )


def test_inputs_that_are_none_of_the_signatures(server: Server) -> None:
    names = ",".join(server.inputs)
    count = len(server.inputs)
    sent = {**server.texts("a text"), "zzz": strings("a text")}
    assert raises(lambda: server.predict(sent)) == (
        INVALID,
        f"input size does not match signature: {count + 1}!={count} len({{{names},zzz}}) != len({{{names}}}). "
        "Sent extra: {zzz}. Missing but required: {}.",
    )


def test_an_input_by_another_name(server: Server) -> None:
    sent = server.texts("a text")
    sent["zzz"] = sent.pop(server.inputs[0])
    code, message = raises(lambda: server.predict(sent))
    assert code == INVALID
    # The words differ between TF Serving's releases.
    assert "zzz" in message
    assert server.inputs[0] in message


def test_an_output_that_is_none_of_the_signatures(server: Server) -> None:
    assert raises(lambda: server.predict(server.texts("a text"), ["zzz"])) == (
        INVALID,
        "output tensor alias not found in signature: zzz "
        f"Outputs expected to be in the set {{{','.join(server.outputs)}}}.",
    )


def test_an_output_named_twice(server: Server) -> None:
    name = server.outputs[0]
    assert raises(lambda: server.predict(server.texts("a text"), [name, name])) == (
        INVALID,
        f"duplicate output tensor alias: {name}",
    )


def _float(text: str) -> tensor_pb2.TensorProto:
    return tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_shape=strings(text).tensor_shape, float_val=[1])


def _more_dimensions(text: str) -> tensor_pb2.TensorProto:
    tensor = strings(text)
    tensor.tensor_shape.dim.add(size=1)
    return tensor


def _fewer_values(text: str) -> tensor_pb2.TensorProto:
    tensor = strings(text, text, text)
    del tensor.string_val[2:]
    tensor.tensor_content = b"abc"
    return tensor


def _negative_size(text: str) -> tensor_pb2.TensorProto:
    tensor = strings(text)
    tensor.tensor_shape.dim[0].size = -3
    return tensor


def _no_type(text: str) -> tensor_pb2.TensorProto:
    tensor = strings(text)
    tensor.dtype = types_pb2.DT_INVALID
    return tensor


@pytest.mark.parametrize("make", [_float, _more_dimensions, _fewer_values, _negative_size, _no_type])
def test_a_tensor_that_the_signature_does_not_take(
    server: Server, make: Callable[[str], tensor_pb2.TensorProto]
) -> None:
    sent = {name: make("a text") for name in server.inputs}
    assert raises(lambda: server.predict(sent))[0] == INVALID
    assert server.predict(server.texts("a text")).outputs


def test_long_messages_are_cut(server: Server) -> None:
    _, message = raises(lambda: server.predict(server.texts("a text"), name="n" * 3000))
    assert len(message) == 1024 + len("...TRUNCATED")
    assert message.endswith("n...TRUNCATED")


def test_a_deadline_ends_a_request(own_server: Server) -> None:
    with own_server.waiting() as path:
        request = PredictRequest(model_spec=own_server.spec(), inputs=own_server.texts(path))
        code, _ = raises(lambda: own_server.predictions.Predict(request, timeout=0.3))
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert own_server.predict(own_server.texts("a text")).outputs
