"""gRPC under fire: bytes that are no messages, and good messages with something wrong in them.

Where one thing is wrong, the code is known; where several are, any code for a client's mistake will do, and none that
says that the server failed.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from hypothesis import strategies as st
from serving_models import example
from tensorflow.core.framework import types_pb2
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest, ClassificationResponse
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest
from tensorflow_serving.apis.inference_pb2 import MultiInferenceRequest
from tensorflow_serving.apis.model_management_pb2 import ReloadConfigRequest
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse
from tensorflow_serving.apis.regression_pb2 import RegressionRequest, RegressionResponse
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig

from tests.fuzz.server import (
    ECHO,
    ECHOED,
    LABEL,
    MANAGEMENT,
    MODEL,
    PATIENCE,
    PREDICTION,
    VERSIONS,
    Answer,
    Server,
    examples,
)
from tests.fuzz.server import predict_request as predict_request_of

pytestmark = pytest.mark.fuzz

OK = grpc.StatusCode.OK
INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED
LATE = grpc.StatusCode.DEADLINE_EXCEEDED
UNKNOWN = grpc.StatusCode.UNKNOWN
ALLOWED = {OK, INVALID, NOT_FOUND, PRECONDITION, UNIMPLEMENTED, grpc.StatusCode.RESOURCE_EXHAUSTED}

NO_PREDICT_METHOD = "Expected prediction signature method_name"
"""What TensorFlow Serving calls INTERNAL of a request for `__saved_model_init_op`."""

METHODS: dict[str, type[Message]] = {
    f"{PREDICTION}Predict": PredictRequest,
    f"{PREDICTION}Classify": ClassificationRequest,
    f"{PREDICTION}Regress": RegressionRequest,
    f"{PREDICTION}MultiInference": MultiInferenceRequest,
    f"{PREDICTION}GetModelMetadata": GetModelMetadataRequest,
    f"{MANAGEMENT}GetModelStatus": GetModelStatusRequest,
    f"{MANAGEMENT}HandleReloadConfigRequest": ReloadConfigRequest,
}

Draw = Callable[[st.SearchStrategy[Any]], Any]
Change = Callable[[Any, Draw], grpc.StatusCode]
"""Changes a good request; the code that it must be answered with where nothing else is changed."""

LONG = ["a" * 5000, "😀" * 1100, "é\n" * 1000]
ODD_TEXT = st.one_of(
    st.text(max_size=20), st.sampled_from(["\0", "..", "/etc/passwd", "%s%n{}", "serving_default ", *LONG])
)
NUMBERS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-3, 9), st.sampled_from([2**31, 2**40, 2**62]))
TEXTS = st.lists(st.binary(max_size=40), min_size=1, max_size=4)


def other_than(*known: str) -> st.SearchStrategy[str]:
    return ODD_TEXT.filter(lambda text: text not in known)


def name_of(method: str) -> str:
    return method.rpartition("/")[2]


def send(server: Server, method: str, message: Message | bytes, kind: str, timeout: float = PATIENCE) -> Answer:
    data = message if isinstance(message, bytes) else message.SerializeToString()
    answer = server.call(method, data, timeout)
    server.count(f"gRPC {kind}", answer.code.name)
    return answer


# Bytes


def assert_as_parsed(server: Server, method: str, data: bytes, kind: str) -> None:
    """gRPC itself answers what is no message, with INTERNAL; what is one is the server's."""
    try:
        METHODS[method].FromString(data)
    except DecodeError:
        answer = send(server, method, data, kind)
        # This INTERNAL is gRPC's own, of its deserializer: no code of the server has seen the call.
        assert (answer.code, answer.details) == (grpc.StatusCode.INTERNAL, "Exception deserializing request!")
    else:
        answer = send(server, method, data, kind)
        assert answer.code in ALLOWED, answer
    if name_of(method) == "HandleReloadConfigRequest" and answer.code == OK:
        server.restore()


# Fields and lengths as the wire has them, lest almost no bytes be a message.
WIRE = st.recursive(
    st.binary(max_size=12),
    lambda inner: st.lists(
        st.tuples(st.integers(1, 20), inner).map(
            lambda field: bytes([field[0] << 3 & 127 | 2, len(field[1])]) + field[1]
        )
        | st.tuples(st.integers(1, 15), st.integers(0, 127)).map(lambda field: bytes([field[0] << 3, field[1]])),
        max_size=4,
    ).map(lambda parts: b"".join(parts)[:120]),
    max_leaves=12,
)


@pytest.mark.parametrize("method", METHODS, ids=name_of)
@examples(0.3)
@given(data=st.one_of(st.binary(max_size=200), WIRE))
def test_raw_bytes(server: Server, method: str, data: bytes) -> None:
    assert_as_parsed(server, method, data, "bytes")


@pytest.mark.parametrize("method", METHODS, ids=name_of)
@examples(0.3)
@given(data=st.data())
def test_bytes_of_a_good_message_that_were_damaged(server: Server, method: str, data: st.DataObject) -> None:
    good = bytearray(good_request(name_of(method), server).SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(0, len(good) - 1)))
        end = min(len(good), at + data.draw(st.integers(0, 3)))
        good[at:end] = data.draw(st.binary(max_size=3))
    if method.endswith("HandleReloadConfigRequest"):
        assert_reload_is_survived(server, bytes(good))
    else:
        assert_as_parsed(server, method, bytes(good), "damaged")


@examples(0.05)
@given(method=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30), data=st.binary(max_size=50))
def test_methods_that_there_are_not(server: Server, method: str, data: bytes) -> None:
    answer = send(server, f"/tensorflow.serving.PredictionService/x{method}", data, "unknown method")
    assert answer.code == UNIMPLEMENTED, answer


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_text_that_is_not_utf8(server: Server, method: str) -> None:
    request = good_request(name_of(method), server)
    data = request.SerializeToString()
    for text in (MODEL.encode(), b"signature_def", b"serving_default", b"tensorflow"):
        damaged = data.replace(text, b"\xff" * len(text))
        if damaged != data:
            assert_as_parsed(server, method, damaged, "not UTF-8")


# Good requests


def good_request(method: str, server: Server) -> Any:
    spec = ModelSpec(name=MODEL)
    spec.version.value = VERSIONS[0]
    if method == "Predict":
        request = predict_request_of(["a text", "another"])
        request.model_spec.signature_name = "serving_default"
        return request
    if method in ("Classify", "Regress"):
        made = ClassificationRequest() if method == "Classify" else RegressionRequest()
        made.model_spec.name = MODEL
        made.model_spec.signature_name = method.lower()
        made.input.example_list.examples.extend([example("a text"), example("another")])
        return made
    if method == "MultiInference":
        several = MultiInferenceRequest()
        task = several.tasks.add(method_name="tensorflow/serving/classify")
        task.model_spec.name = MODEL
        task.model_spec.signature_name = "classify"
        several.input.example_list.examples.add().CopyFrom(example("a text"))
        return several
    if method == "GetModelMetadata":
        return GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])
    if method == "GetModelStatus":
        return GetModelStatusRequest(model_spec=spec)
    return ReloadConfigRequest(config=server.config)


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_the_good_requests_are_good(server: Server, method: str) -> None:
    """Else the changed ones would prove nothing."""
    assert send(server, method, good_request(name_of(method), server), "good").code == OK


# Changes of which model, version and signature is meant


def spec_of(request: Any) -> ModelSpec:
    return request.tasks[0].model_spec if isinstance(request, MultiInferenceRequest) else request.model_spec


def unknown_model(request: Any, draw: Draw) -> grpc.StatusCode:
    spec_of(request).name = draw(other_than("", MODEL, ECHO))
    return NOT_FOUND


def no_model(request: Any, draw: Draw) -> grpc.StatusCode:
    spec_of(request).name = ""
    return NOT_FOUND if isinstance(request, GetModelStatusRequest) else INVALID


def no_spec(request: Any, draw: Draw) -> grpc.StatusCode:
    holder = request.tasks[0] if isinstance(request, MultiInferenceRequest) else request
    holder.ClearField("model_spec")
    return INVALID


def unknown_version(request: Any, draw: Draw) -> grpc.StatusCode:
    spec_of(request).version.value = draw(NUMBERS.filter(lambda number: number not in VERSIONS))
    return NOT_FOUND


def unknown_label(request: Any, draw: Draw) -> grpc.StatusCode:
    spec_of(request).version_label = draw(other_than(LABEL))
    return INVALID


def version_given_twice(request: Any, draw: Draw) -> grpc.StatusCode:
    """A version and a label: on the wire the last one counts."""
    spec = spec_of(request)
    spec.version_label = LABEL
    data = ModelSpec(version={"value": 9}).SerializeToString() + spec.SerializeToString()
    spec.ParseFromString(data)
    return OK


def unknown_signature(request: Any, draw: Draw) -> grpc.StatusCode:
    known = ("", "serving_default", "serve_examples", "classify", "regress", "__saved_model_init_op")
    spec_of(request).signature_name = draw(other_than(*known))
    return PRECONDITION if isinstance(request, PredictRequest) else INVALID


SPEC_CHANGES = (unknown_model, no_model, no_spec, unknown_version, unknown_label, version_given_twice)


# Changes of predict's tensors


def text_of(request: PredictRequest) -> TensorProto:
    return request.inputs["text"]


def signature_of_another_method(request: PredictRequest, draw: Draw) -> grpc.StatusCode:
    """Their input goes by another name."""
    request.model_spec.signature_name = draw(st.sampled_from(["classify", "regress", "serve_examples"]))
    return INVALID


def init_signature(request: PredictRequest, draw: Draw) -> grpc.StatusCode:
    request.model_spec.signature_name = "__saved_model_init_op"
    return grpc.StatusCode.INTERNAL  # as TensorFlow Serving has it


def renamed_input(request: PredictRequest, draw: Draw) -> grpc.StatusCode:
    request.inputs[draw(other_than("text"))].CopyFrom(text_of(request))
    del request.inputs["text"]
    return INVALID


def extra_inputs(request: PredictRequest, draw: Draw) -> grpc.StatusCode:
    for name in draw(st.lists(other_than("text"), min_size=1, max_size=20)):
        request.inputs[name].CopyFrom(text_of(request))
    return INVALID


def no_inputs(request: PredictRequest, draw: Draw) -> grpc.StatusCode:
    request.inputs.clear()
    return INVALID


def another_dtype(request: PredictRequest, draw: Draw) -> grpc.StatusCode:
    text_of(request).dtype = draw(
        st.integers(-(2**31), 2**31 - 1) | st.integers(0, 200).filter(lambda number: number != 7)
    )
    return INVALID


def dtype_with_values(request: PredictRequest, draw: Draw) -> grpc.StatusCode:
    """A tensor that is whole, but not of strings."""
    text_of(request).CopyFrom(tf.make_tensor_proto(draw(st.sampled_from([[1], [1.5], [True], [1j]]))))
    return INVALID


def strings_in_another_field(request: PredictRequest, draw: Draw) -> grpc.StatusCode:
    del text_of(request).string_val[:]
    field = draw(st.sampled_from(["int_val", "float_val", "int64_val", "half_val", "bool_val", "uint64_val"]))
    getattr(text_of(request), field).extend([1, 1])
    return INVALID


def negative_dims(request: PredictRequest, draw: Draw) -> grpc.StatusCode:
    text_of(request).tensor_shape.dim[0].size = draw(st.integers(-(2**63), -1))
    return INVALID


def huge_dims(request: PredictRequest, draw: Draw) -> grpc.StatusCode:
    """More rows than a request may have, or values that are missing."""
    text = text_of(request)
    del text.string_val[draw(st.integers(0, 2)) :]
    text.tensor_shape.dim[0].size = draw(st.integers(4097, 2**63 - 1) | st.sampled_from([2**24, 2**31, 2**63 - 1]))
    return INVALID


def other_dims(request: PredictRequest, draw: Draw) -> grpc.StatusCode:
    text = text_of(request)
    sizes = draw(st.lists(NUMBERS | st.integers(0, 3), max_size=40).filter(lambda sizes: len(sizes) != 1))
    del text.tensor_shape.dim[:]
    for size in sizes:
        text.tensor_shape.dim.add(size=size)
    return INVALID


def unknown_rank(request: PredictRequest, draw: Draw) -> grpc.StatusCode:
    text = text_of(request)
    if draw(st.booleans()):
        del text.tensor_shape.dim[:]
    text.tensor_shape.unknown_rank = True
    return INVALID


def no_shape(request: PredictRequest, draw: Draw) -> grpc.StatusCode:
    text_of(request).ClearField("tensor_shape")
    return INVALID


def empty_tensor(request: PredictRequest, draw: Draw) -> grpc.StatusCode:
    text_of(request).Clear()
    return INVALID


def too_few_or_too_many_values(request: PredictRequest, draw: Draw) -> grpc.StatusCode:
    text = text_of(request)
    values = draw(st.lists(st.binary(max_size=5), max_size=6).filter(lambda values: len(values) not in (1, 2)))
    del text.string_val[:]
    text.string_val.extend(values)
    return INVALID


def damaged_content(request: PredictRequest, draw: Draw) -> grpc.StatusCode:
    """Strings' lengths that the content does not have."""
    text = text_of(request)
    del text.string_val[:]
    first, second = draw(st.binary(max_size=9)), draw(st.binary(max_size=9))
    cut = draw(st.integers(1, 5))
    content = bytes([len(first), len(second)]) + first + second
    text.tensor_content = draw(st.sampled_from([content + b"x" * cut, content[:-cut], b"\xff" * (cut * 7)])) or b"\xff"
    return INVALID


def good_content(request: PredictRequest, draw: Draw) -> grpc.StatusCode:
    text = text_of(request)
    del text.string_val[:]
    first, second = draw(st.binary(max_size=99)), draw(st.binary(max_size=99))
    text.tensor_content = bytes([len(first), len(second)]) + first + second
    return OK


def any_texts(request: PredictRequest, draw: Draw) -> grpc.StatusCode:
    """Bytes that need not be UTF-8 are good strings."""
    request.CopyFrom(predict_request_of(draw(TEXTS)))
    return OK


def no_rows(request: PredictRequest, draw: Draw) -> grpc.StatusCode:
    request.CopyFrom(predict_request_of([]))
    return OK


def one_value_for_many_rows(request: PredictRequest, draw: Draw) -> grpc.StatusCode:
    text = text_of(request)
    del text.string_val[1:]
    text.tensor_shape.dim[0].size = draw(st.integers(1, 4096))
    return OK


def unknown_outputs(request: PredictRequest, draw: Draw) -> grpc.StatusCode:
    known = ("label", "probability", "probabilities")
    request.output_filter.extend(draw(st.lists(other_than(*known), min_size=1, max_size=4)))
    return INVALID


def repeated_outputs(request: PredictRequest, draw: Draw) -> grpc.StatusCode:
    request.output_filter.extend([draw(st.sampled_from(["label", "probability", "probabilities"]))] * 2)
    return INVALID


PREDICT_CHANGES: tuple[Change, ...] = (
    *SPEC_CHANGES,
    *(unknown_signature, signature_of_another_method, init_signature),
    *(renamed_input, extra_inputs, no_inputs),
    *(another_dtype, dtype_with_values, strings_in_another_field),
    *(negative_dims, huge_dims, other_dims, unknown_rank, no_shape, empty_tensor),
    *(too_few_or_too_many_values, damaged_content, good_content),
    *(any_texts, no_rows, one_value_for_many_rows, unknown_outputs, repeated_outputs),
)


@pytest.mark.parametrize("change", PREDICT_CHANGES, ids=lambda change: change.__name__)
@examples(0.08)
@given(data=st.data())
def test_predict_with_one_change(server: Server, change: Change, data: st.DataObject) -> None:
    request = good_request("Predict", server)
    code = change(request, data.draw)
    answer = send(server, f"{PREDICTION}Predict", request, "changed")
    assert answer.code == code, answer
    if code == OK:
        assert_right(request, answer)


def assert_right(request: PredictRequest, answer: Answer) -> None:
    """The probabilities are those of the request's texts."""
    tensor = text_of(request)
    rows = tensor.tensor_shape.dim[0].size
    content = tensor.tensor_content
    texts = [content[2:][: content[0]]] if content else list(tensor.string_val)
    found = list(PredictResponse.FromString(answer.message).outputs["probability"].float_val)
    assert len(found) == rows
    for text, probability in zip(texts, found, strict=False):
        assert probability == pytest.approx(min(len(text), 1000) / 1000, abs=1e-5)


@examples(0.6)
@given(data=st.data())
def test_predict_with_several_changes(server: Server, data: st.DataObject) -> None:
    request = good_request("Predict", server)
    for change in data.draw(st.lists(st.sampled_from(PREDICT_CHANGES), min_size=2, max_size=4)):
        with suppress(IndexError, ValueError):  # where the change before left nothing to change
            change(request, data.draw)
    answer = send(server, f"{PREDICTION}Predict", request, "changed")
    assert answer.code in ALLOWED or answer.details.startswith(NO_PREDICT_METHOD), answer


@pytest.mark.parametrize("count", [4097, 100_000])
def test_more_rows_than_a_request_may_have(server: Server, count: int) -> None:
    answer = send(server, f"{PREDICTION}Predict", predict_request_of(["a"] * count), "big")
    assert answer.code == INVALID, answer


def test_a_long_text_for_many_rows(server: Server) -> None:
    """A few bytes of shape must not make the server fill its memory with copies of one text."""
    request = predict_request_of([b"a" * 2**24])
    text_of(request).tensor_shape.dim[0].size = 4096
    answer = send(server, f"{PREDICTION}Predict", request, "big")
    assert answer.code == INVALID, answer


def test_a_very_long_text(server: Server) -> None:
    answer = send(server, f"{PREDICTION}Predict", predict_request_of([b"a" * 2**25]), "big")
    assert answer.code == OK, answer


@examples(0.1)
@given(texts=TEXTS, milliseconds=st.integers(0, 20))
def test_a_deadline_that_may_pass(server: Server, texts: list[bytes], milliseconds: int) -> None:
    answer = send(server, f"{PREDICTION}Predict", predict_request_of(texts), "deadline", milliseconds / 1000)
    assert answer.code in (OK, LATE), answer


# Tensors of all types


@st.composite
def tensors(draw: Draw) -> TensorProto:
    """Anything that a TensorProto can be; every third is whole."""
    name = draw(st.sampled_from(sorted(ECHOED)))
    tensor = TensorProto(dtype=ECHOED[name].as_datatype_enum)
    sizes = draw(st.lists(st.integers(0, 4), max_size=4) | st.lists(NUMBERS | st.integers(0, 2), max_size=40))
    for size in sizes:
        tensor.tensor_shape.dim.add(size=size)
    fields = {
        "half_val": st.integers(0, 2**31 - 1),
        "float_val": st.floats(width=32),
        "double_val": st.floats(),
        "int_val": st.integers(-(2**31), 2**31 - 1),
        "int64_val": st.integers(-(2**63), 2**63 - 1),
        "string_val": st.binary(max_size=9),
        "scomplex_val": st.floats(width=32),
        "dcomplex_val": st.floats(),
        "bool_val": st.booleans(),
        "uint32_val": st.integers(0, 2**32 - 1),
        "uint64_val": st.integers(0, 2**64 - 1),
    }
    own = next((field for field in fields if field.startswith(_field_of(name))), "int_val")
    field = own if draw(st.integers(0, 3)) else draw(st.sampled_from(sorted(fields)))
    elements = int(np.prod([size for size in sizes if 0 <= size < 5] or [1]))
    count = min(elements * (2 if "complex" in field else 1), 600) if draw(st.booleans()) else draw(st.integers(0, 9))
    value = fields[field]
    getattr(tensor, field).extend(draw(st.lists(value, min_size=min(count, 9), max_size=min(count, 9))))
    if draw(st.integers(0, 3)) == 0:
        width = ECHOED[name].size
        tensor.tensor_content = (
            draw(st.binary(max_size=40)) if draw(st.booleans()) else bytes(min(elements, 600) * width)
        )
    return tensor


def _field_of(dtype: str) -> str:
    known = {
        "float16": "half", "bfloat16": "half", "float32": "float", "float64": "double", "string": "string",
        "complex64": "scomplex", "complex128": "dcomplex", "int64": "int64", "bool": "bool", "uint32": "uint32",
        "uint64": "uint64",
    }  # fmt: skip
    return known.get(dtype, "int_val")


@examples(1.0)
@given(tensor=tensors(), data=st.data())
def test_tensors_of_all_types(server: Server, tensor: TensorProto, data: st.DataObject) -> None:
    """What is taken comes back as TensorFlow itself reads it."""
    request = PredictRequest(inputs={"x": tensor})
    request.model_spec.name = ECHO
    request.model_spec.signature_name = tf.as_dtype(tensor.dtype).name
    if data.draw(st.integers(0, 9)) == 0:
        request.inputs["x"].dtype = data.draw(st.sampled_from(types_pb2.DataType.values()))
    answer = send(server, f"{PREDICTION}Predict", request, "tensor")
    assert answer.code in (OK, INVALID), answer
    if answer.code == OK:
        found = tf.make_ndarray(PredictResponse.FromString(answer.message).outputs["y"])
        try:
            expected = tf.make_ndarray(request.inputs["x"])
        except (OverflowError, ValueError):  # Python's reader has no strings in tensor_content, and wraps no integers
            return
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype
        assert found.tolist() == expected.tolist() or found.tobytes() == expected.tobytes(), (found, expected)


# Examples


def examples_of(request: Any) -> Any:
    return request.input.example_list.examples


def no_examples(request: Any, draw: Draw) -> grpc.StatusCode:
    kind = draw(st.sampled_from(["example_list", "example_list_with_context", ""]))
    request.input.Clear()
    if kind:
        getattr(request.input, kind).SetInParent()
    return INVALID


def feature_is_missing(request: Any, draw: Draw) -> grpc.StatusCode:
    features = examples_of(request)[0].features.feature
    name = draw(other_than("text"))
    features[name].CopyFrom(features["text"])
    del features["text"]
    return INVALID


def feature_of_another_kind(request: Any, draw: Draw) -> grpc.StatusCode:
    feature = examples_of(request)[0].features.feature["text"]
    feature.Clear()
    if draw(st.booleans()):
        feature.int64_list.value.extend(draw(st.lists(NUMBERS, max_size=3)))
    else:
        feature.float_list.value.extend(draw(st.lists(st.floats(width=32), max_size=3)))
    return INVALID


def feature_with_other_than_one_value(request: Any, draw: Draw) -> grpc.StatusCode:
    values = draw(st.lists(st.binary(max_size=9), max_size=5).filter(lambda values: len(values) != 1))
    feature = examples_of(request)[0].features.feature["text"]
    del feature.bytes_list.value[:]
    feature.bytes_list.value.extend(values)
    return INVALID


def empty_example(request: Any, draw: Draw) -> grpc.StatusCode:
    examples_of(request).add()
    return INVALID


def more_features(request: Any, draw: Draw) -> grpc.StatusCode:
    """The model does not ask for them."""
    for name in draw(st.lists(other_than("text"), max_size=9)):
        examples_of(request)[0].features.feature[name].float_list.value.append(1)
    return OK


def any_text(request: Any, draw: Draw) -> grpc.StatusCode:
    examples_of(request)[0].features.feature["text"].bytes_list.value[0] = draw(st.binary(max_size=2000))
    return OK


def in_context(request: Any, draw: Draw) -> grpc.StatusCode:
    """Features of the context are each example's, whose own count where both have one."""
    own = list(examples_of(request))
    with_context = request.input.example_list_with_context
    with_context.context.CopyFrom(example("context"))
    with_context.examples.extend(own if draw(st.booleans()) else [type(own[0])()])
    return OK


def signature_for_another_method(request: Any, draw: Draw) -> grpc.StatusCode:
    others = {"classify", "regress", "serve_examples", "serving_default", "__saved_model_init_op", ""}
    spec = spec_of(request)
    spec.signature_name = draw(st.sampled_from(sorted(others - {spec.signature_name})))
    return INVALID


def too_many_examples(request: Any, draw: Draw) -> grpc.StatusCode:
    examples_of(request).extend([example("a")] * draw(st.sampled_from([4097, 5000])))
    return INVALID


EXAMPLES_CHANGES: tuple[Change, ...] = (
    *SPEC_CHANGES,
    *(unknown_signature, signature_for_another_method),
    *(no_examples, feature_is_missing, feature_of_another_kind, feature_with_other_than_one_value, empty_example),
    *(more_features, any_text, in_context),
)


def unknown_method(request: MultiInferenceRequest, draw: Draw) -> grpc.StatusCode:
    known = ("tensorflow/serving/classify", "tensorflow/serving/regress")
    request.tasks[0].method_name = draw(other_than(*known))
    return UNIMPLEMENTED


def the_other_method(request: MultiInferenceRequest, draw: Draw) -> grpc.StatusCode:
    request.tasks[0].method_name = "tensorflow/serving/regress"
    return INVALID


def no_tasks(request: MultiInferenceRequest, draw: Draw) -> grpc.StatusCode:
    del request.tasks[:]
    return INVALID


def task_twice(request: MultiInferenceRequest, draw: Draw) -> grpc.StatusCode:
    request.tasks.extend([request.tasks[0]] * draw(st.integers(1, 50)))
    return INVALID


def task_of_another_model(request: MultiInferenceRequest, draw: Draw) -> grpc.StatusCode:
    task = request.tasks.add(method_name="tensorflow/serving/regress")
    task.model_spec.signature_name = "regress"
    task.model_spec.name = draw(other_than(MODEL))
    return INVALID


MULTI_CHANGES: tuple[Change, ...] = (
    *EXAMPLES_CHANGES,
    *(unknown_method, the_other_method, no_tasks, task_twice, task_of_another_model),
)


@pytest.mark.parametrize("method", ["Classify", "Regress"])
@pytest.mark.parametrize("change", [*EXAMPLES_CHANGES, too_many_examples], ids=lambda change: change.__name__)
@examples(0.04)
@given(data=st.data())
def test_examples_with_one_change(server: Server, method: str, change: Change, data: st.DataObject) -> None:
    request = good_request(method, server)
    code = change(request, data.draw)
    answer = send(server, f"{PREDICTION}{method}", request, "changed")
    assert answer.code == code, answer
    if change is any_text:
        text = examples_of(request)[0].features.feature["text"].bytes_list.value[0]
        expected = min(len(text), 1000) / 1000
        if method == "Regress":
            found = RegressionResponse.FromString(answer.message).result.regressions[0].value
        else:
            found = ClassificationResponse.FromString(answer.message).result.classifications[0].classes[1].score
        assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("change", MULTI_CHANGES, ids=lambda change: change.__name__)
@examples(0.04)
@given(data=st.data())
def test_multi_inference_with_one_change(server: Server, change: Change, data: st.DataObject) -> None:
    request = good_request("MultiInference", server)
    code = change(request, data.draw)
    answer = send(server, f"{PREDICTION}MultiInference", request, "changed")
    assert answer.code == code, answer


# Metadata and status


def unknown_field(request: GetModelMetadataRequest, draw: Draw) -> grpc.StatusCode:
    request.metadata_field.extend(draw(st.lists(other_than("signature_def"), min_size=1, max_size=5)))
    return INVALID


def no_field(request: GetModelMetadataRequest, draw: Draw) -> grpc.StatusCode:
    del request.metadata_field[:]
    return INVALID


def signature_does_not_matter(request: Any, draw: Draw) -> grpc.StatusCode:
    spec_of(request).signature_name = draw(ODD_TEXT)
    return OK


@pytest.mark.parametrize(
    "change", [*SPEC_CHANGES, signature_does_not_matter, unknown_field, no_field], ids=lambda change: change.__name__
)
@examples(0.04)
@given(data=st.data())
def test_metadata_with_one_change(server: Server, change: Change, data: st.DataObject) -> None:
    request = good_request("GetModelMetadata", server)
    code = change(request, data.draw)
    answer = send(server, f"{PREDICTION}GetModelMetadata", request, "changed")
    assert answer.code == code, answer


@pytest.mark.parametrize("change", [*SPEC_CHANGES, signature_does_not_matter], ids=lambda change: change.__name__)
@examples(0.04)
@given(data=st.data())
def test_status_with_one_change(server: Server, change: Change, data: st.DataObject) -> None:
    request = good_request("GetModelStatus", server)
    code = change(request, data.draw)
    answer = send(server, f"{MANAGEMENT}GetModelStatus", request, "changed")
    assert answer.code == code, answer


# Reload

RELOAD = f"{MANAGEMENT}HandleReloadConfigRequest"


def assert_reload_is_survived(server: Server, data: bytes) -> Answer:
    """Any configuration is refused or applied, in time, and a good one is taken afterwards."""
    answer = send(server, RELOAD, data, "reload")
    # TensorFlow Serving, too, says UNKNOWN of a configuration that it applied but whose models do not load.
    applied = answer.code == UNKNOWN and "did not become available" in answer.details
    decoder = answer.code == grpc.StatusCode.INTERNAL and answer.details == "Exception deserializing request!"
    assert applied or decoder or answer.code in ALLOWED, answer
    server.restore()
    return answer


def new_model(request: ReloadConfigRequest) -> ModelConfig:
    path = request.config.model_config_list.config[0].base_path
    return request.config.model_config_list.config.add(name="new", base_path=path, model_platform="tensorflow")


def no_config(request: ReloadConfigRequest, draw: Draw) -> grpc.StatusCode:
    request.ClearField("config")
    return INVALID


def custom_config(request: ReloadConfigRequest, draw: Draw) -> grpc.StatusCode:
    request.config.custom_model_config.type_url = draw(ODD_TEXT)
    request.config.custom_model_config.value = draw(st.binary(max_size=9))
    return INVALID


def no_models(request: ReloadConfigRequest, draw: Draw) -> grpc.StatusCode:
    del request.config.model_config_list.config[:]
    return OK


def model_without_name(request: ReloadConfigRequest, draw: Draw) -> grpc.StatusCode:
    new_model(request).name = ""
    return INVALID


def model_twice(request: ReloadConfigRequest, draw: Draw) -> grpc.StatusCode:
    new_model(request).name = MODEL
    return INVALID


def relative_path(request: ReloadConfigRequest, draw: Draw) -> grpc.StatusCode:
    new_model(request).base_path = draw(ODD_TEXT.filter(lambda text: not text.startswith("/")))
    return INVALID


def path_with_nul(request: ReloadConfigRequest, draw: Draw) -> grpc.StatusCode:
    new_model(request).base_path = f"/no-such-folder/{draw(st.text(max_size=5))}\0"
    return UNKNOWN


def path_of_another_machine(request: ReloadConfigRequest, draw: Draw) -> grpc.StatusCode:
    new_model(request).base_path = f"gs://{draw(ODD_TEXT)}"
    return INVALID


def path_without_versions(request: ReloadConfigRequest, draw: Draw) -> grpc.StatusCode:
    new_model(request).base_path = draw(
        st.sampled_from(["/", "/proc", "/dev/null", "/no-such-folder", f"/{'a' * 5000}"])
    )
    return UNKNOWN


def another_platform(request: ReloadConfigRequest, draw: Draw) -> grpc.StatusCode:
    new_model(request).model_platform = draw(other_than("tensorflow"))
    return INVALID


def versions_that_are_not_there(request: ReloadConfigRequest, draw: Draw) -> grpc.StatusCode:
    policy = new_model(request).model_version_policy
    numbers = NUMBERS.filter(lambda number: number not in VERSIONS)
    policy.specific.versions.extend(draw(st.lists(numbers, max_size=9)))
    return UNKNOWN


def label_of_no_version(request: ReloadConfigRequest, draw: Draw) -> grpc.StatusCode:
    labels = request.config.model_config_list.config[0].version_labels
    labels[draw(ODD_TEXT)] = draw(NUMBERS.filter(lambda number: number not in VERSIONS))
    return PRECONDITION


RELOAD_CHANGES: tuple[Change, ...] = (
    *(no_config, custom_config, no_models, model_without_name, model_twice, relative_path, path_with_nul),
    *(path_of_another_machine, path_without_versions, another_platform, versions_that_are_not_there),
    label_of_no_version,
)


@pytest.mark.parametrize("change", RELOAD_CHANGES, ids=lambda change: change.__name__)
@examples(0.01)
@given(data=st.data())
def test_reload_with_one_change(server: Server, change: Change, data: st.DataObject) -> None:
    request = good_request("HandleReloadConfigRequest", server)
    code = change(request, data.draw)
    answer = assert_reload_is_survived(server, request.SerializeToString())
    assert answer.code == code, answer
