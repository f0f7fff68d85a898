"""Arrays and messages: what TensorFlow writes is read, what is written TensorFlow reads, and lies are refused."""

from contextlib import suppress

import grpc
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.framework import types_pb2
from tensorflow.core.framework.tensor_pb2 import TensorProto

from serving.server.errors import ServingError
from serving.server.tensors import MAX_BROADCAST, to_array, to_proto

NUMBERS = [
    np.float16,
    ml_dtypes.bfloat16,
    np.float32,
    np.float64,
    np.int8,
    np.int16,
    np.int32,
    np.int64,
    np.uint8,
    np.uint16,
    np.uint32,
    np.uint64,
    np.bool_,
    np.complex64,
    np.complex128,
    ml_dtypes.float8_e5m2,
    ml_dtypes.float8_e4m3fn,
]


def texts(*values: bytes) -> np.ndarray:
    return np.array(values, object)


@pytest.mark.parametrize("dtype", NUMBERS, ids=lambda dtype: np.dtype(dtype).name)
def test_every_number_type_goes_both_ways(dtype: type) -> None:
    array = np.array([[0, 1, 2], [3, 1, 0]]).astype(dtype)
    proto = to_proto(array)
    assert not proto.tensor_content
    assert tf.make_ndarray(proto).dtype == array.dtype
    np.testing.assert_array_equal(tf.make_ndarray(proto), array)
    for read in (to_array(proto), to_array(tf.make_tensor_proto(array))):
        assert read.dtype == array.dtype
        np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize(
    "array",
    [
        np.array([-1.5, np.inf, -np.inf, 3.4e38], np.float32),
        np.array([-(2**63), 2**63 - 1]),
        np.array([2**64 - 1], np.uint64),
        np.array([2**32 - 1], np.uint32),
        np.array([-128, 127], np.int8),
        np.array([255], np.uint8),
        np.array([-65504, 6e-8], np.float16),
        np.array([1 - 2j, -0.5j], np.complex64),
        np.array(7.0, np.float32),
        np.zeros([0, 3], np.int32),
        texts(b"", "\N{SNOWMAN}".encode(), b"\x00\xff").reshape(3, 1),
        texts(b"a").reshape(()),
    ],
    ids=str,
)
def test_extreme_values_and_shapes(array: np.ndarray) -> None:
    for proto in (to_proto(array), tf.make_tensor_proto(array)):
        read = to_array(TensorProto.FromString(proto.SerializeToString()))
        assert (read.dtype, read.shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(read, array)


def test_fields_are_those_of_tf_serving() -> None:
    assert to_proto(texts(b"a", b"b")) == TensorProto(
        dtype=types_pb2.DT_STRING, tensor_shape={"dim": [{"size": 2}]}, string_val=[b"a", b"b"]
    )
    assert to_proto(np.array([[1.5]], np.float32)) == TensorProto(
        dtype=types_pb2.DT_FLOAT, tensor_shape={"dim": [{"size": 1}, {"size": 1}]}, float_val=[1.5]
    )
    assert to_proto(np.array([-3], np.int32)).int_val == [-3]


def test_strings_in_other_forms() -> None:
    assert to_proto(np.array(["ä", "b"])).string_val == ["ä".encode(), b"b"]
    assert to_proto(np.array([b"ab"])).string_val == [b"ab"]
    assert to_proto(b"a\x00").string_val == [b"a\x00"]  # type: ignore[arg-type]


def test_outputs_that_are_views() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4).T[::2]
    np.testing.assert_array_equal(tf.make_ndarray(to_proto(array)), array)
    half = array.astype(np.float16).T[:, ::2]
    np.testing.assert_array_equal(tf.make_ndarray(to_proto(half)), half)


def test_tensor_content() -> None:
    numbers = np.array([[1, 2], [3, 4]], np.int64)
    proto = TensorProto(
        dtype=types_pb2.DT_INT64,
        tensor_shape={"dim": [{"size": 2}, {"size": 2}]},
        tensor_content=numbers.tobytes(),
    )
    np.testing.assert_array_equal(to_array(proto), numbers)


def test_tensor_content_of_strings() -> None:
    long = b"x" * 300
    proto = TensorProto(
        dtype=types_pb2.DT_STRING,
        tensor_shape={"dim": [{"size": 3}]},
        tensor_content=b"\x02\x00\xac\x02" + b"ab" + long,
    )
    assert to_array(proto).tolist() == [b"ab", b"", long]


def test_one_value_for_all_places() -> None:
    proto = TensorProto(dtype=types_pb2.DT_STRING, tensor_shape={"dim": [{"size": 2}, {"size": 2}]}, string_val=[b"a"])
    assert to_array(proto).tolist() == [[b"a", b"a"], [b"a", b"a"]]
    most = TensorProto(dtype=types_pb2.DT_INT32, tensor_shape={"dim": [{"size": MAX_BROADCAST}]}, int_val=[1])
    assert to_array(most).shape == (MAX_BROADCAST,)
    assert to_array(most).strides == (0,)


def shaped(dtype: int, *shape: int, **fields: object) -> TensorProto:
    return TensorProto(dtype=dtype, tensor_shape={"dim": [{"size": size} for size in shape]}, **fields)


LIES = {
    "too few values": shaped(types_pb2.DT_STRING, 3, string_val=[b"a", b"b"]),
    "too many values": shaped(types_pb2.DT_FLOAT, 1, float_val=[1, 2]),
    "no values": shaped(types_pb2.DT_FLOAT, 2),
    "values of another type": shaped(types_pb2.DT_FLOAT, 1, string_val=[b"a"]),
    "half a complex": shaped(types_pb2.DT_COMPLEX64, 1, scomplex_val=[1]),
    "too short content": shaped(types_pb2.DT_FLOAT, 2, tensor_content=b"abcd"),
    "content is not broadcast": shaped(types_pb2.DT_FLOAT, 3, tensor_content=b"abcd"),
    "odd content": shaped(types_pb2.DT_FLOAT, 1, tensor_content=b"abcde"),
    "strings longer than the content": shaped(types_pb2.DT_STRING, 1, tensor_content=b"\x05abc"),
    "strings shorter than the content": shaped(types_pb2.DT_STRING, 1, tensor_content=b"\x01abc"),
    "lengths that do not end": shaped(types_pb2.DT_STRING, 2, tensor_content=b"\xff\xff\xff\xff\xff\xff"),
    "many strings in no bytes": shaped(types_pb2.DT_STRING, 2**40, tensor_content=b"abc"),
    "a broadcast that is too big": shaped(types_pb2.DT_STRING, MAX_BROADCAST + 1, string_val=[b"a"]),
    "a long text for many rows": shaped(types_pb2.DT_STRING, 4096, string_val=[b"a" * (MAX_BROADCAST // 4096 + 1)]),
    "sizes beyond 64 bits": shaped(types_pb2.DT_FLOAT, 2**62, 2**62, 2**62, float_val=[1]),
    "nothing of much": shaped(types_pb2.DT_FLOAT, 0, 2**62, 2**62),
    "negative size": shaped(types_pb2.DT_FLOAT, -1, float_val=[1]),
    "two negative sizes": shaped(types_pb2.DT_FLOAT, -1, -1, float_val=[1]),
    "unknown rank": TensorProto(dtype=types_pb2.DT_FLOAT, tensor_shape={"unknown_rank": True}, float_val=[1]),
    "huge rank": shaped(types_pb2.DT_FLOAT, *[1] * 300, float_val=[1]),
    "no type": shaped(types_pb2.DT_INVALID, 1, float_val=[1]),
    "resource": shaped(types_pb2.DT_RESOURCE, 1),
    "unknown type": shaped(77, 1, float_val=[1]),
}


@pytest.mark.parametrize("proto", LIES.values(), ids=LIES)
def test_what_a_message_does_not_hold(proto: TensorProto) -> None:
    with pytest.raises(ServingError) as error:
        to_array(proto)
    assert error.value.code is grpc.StatusCode.INVALID_ARGUMENT


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_content_is_read_or_refused(content: bytes) -> None:
    for dtype in (types_pb2.DT_STRING, types_pb2.DT_BOOL, types_pb2.DT_HALF, types_pb2.DT_INT32):
        for size in (1, 2, 25):
            with suppress(ServingError):
                assert to_array(shaped(dtype, size, tensor_content=content)).shape == (size,)


@given(st.lists(st.binary(max_size=20)))
@settings(deadline=None)
def test_any_strings(values: list[bytes]) -> None:
    read = to_array(to_proto(texts(*values)))
    assert read.tolist() == values
    assert read.dtype == object


def test_a_type_without_a_message_is_the_servers_fault() -> None:
    with pytest.raises(ServingError) as error:
        to_proto(np.array(["2020-01-01"], "datetime64[D]"))
    assert error.value.code is grpc.StatusCode.INTERNAL
