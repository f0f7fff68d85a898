"""REST under fire: bytes that are no HTTP, HTTP that is no request of the API, and JSON with anything in it.

Every answer is well-formed HTTP (server.Connection reads nothing else) with a status of TensorFlow Serving's table and
its error JSON, but for two: paths outside /v1/ are answered in plain text, as TensorFlow Serving does, and what is no
HTTP never reaches the API: aiohttp answers it, with 400 and plain text, or closes the connection.
"""

import gzip
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving_models import probability_of

from tests.fuzz.server import ECHO, ECHOED, LABEL, MODEL, VERSIONS, Connection, Reply, Server, examples

pytestmark = pytest.mark.fuzz

Draw = Callable[[st.SearchStrategy[Any]], Any]

TABLE = {200, 400, 401, 403, 404, 409, 413, 429, 499, 501, 503, 504}
"""TensorFlow Serving's, without 500, and 413 for a body that is too large."""
METHODS = ("predict", "classify", "regress")
GOOD = {
    "predict": {"instances": ["a text", "another"]},
    "classify": {"signature_name": "classify", "examples": [{"text": "a text"}]},
    "regress": {"signature_name": "regress", "examples": [{"text": "a text"}]},
}
BODY = json.dumps(GOOD["predict"]).encode()
TARGET = f"/v1/models/{MODEL}:predict".encode()


def assert_answer(reply: Reply, *statuses: int) -> Reply:
    """An answer of the API."""
    assert reply.status in (statuses or TABLE), reply
    assert reply.is_json, reply
    if reply.status == 200:
        assert isinstance(reply.json, dict), reply
    else:
        assert reply.error, reply
    return reply


def post(
    server: Server, kind: str, method: str, body: bytes, *statuses: int, which: str = "", model: str = MODEL
) -> Reply:
    reply = server.post(method, body, which, model)
    server.count(f"REST {kind}", reply.status)
    return assert_answer(reply, *statuses)


# Bodies


@pytest.mark.parametrize("method", METHODS)
@examples(0.2)
@given(body=st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
def test_bodies_of_raw_bytes(server: Server, method: str, body: bytes) -> None:
    post(server, "bytes", method, body, 400)


@pytest.mark.parametrize("method", METHODS)
@examples(0.2)
@given(data=st.data())
def test_good_bodies_that_were_damaged(server: Server, method: str, data: st.DataObject) -> None:
    body = bytearray(json.dumps(GOOD[method]).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body)))
        signs = [b"[", b"]", b"{", b"}", b'"', b"\\", b",", b"0", b"\0"]
        piece = data.draw(st.binary(max_size=3) | st.sampled_from(signs))
        body[at : at + data.draw(st.integers(0, 3))] = piece
    post(server, "damaged", method, bytes(body), *(() if readable(bytes(body)) else (400,)))


def readable(body: bytes) -> bool:
    """Whether it is a JSON object to Python, whose reader is the more lenient one."""
    try:
        return isinstance(json.loads(body.decode(errors="surrogateescape")), dict)
    except (ValueError, RecursionError):
        return False


NUMBERS = st.one_of(
    st.integers().map(str),
    st.integers(-(2**70), 2**70).map(str),
    st.floats().map(repr),
    st.sampled_from(
        [
            "-0",
            "1.0",
            "1e5",
            "1E+5",
            "1e400",
            "-1e400",
            "1e-400",
            "01",
            "+1",
            ".5",
            "1.",
            "1e",
            "0x10",
            "--1",
            "1_0",
            "NaN",
            "Infinity",
            "-Infinity",
            "nan",
        ]
    ),
    st.sampled_from(["9" * 400, "1" * 5000, "1" * 300 + "e99", "0." + "1" * 5000]),
    st.sampled_from([2**31, 2**53 + 1, 2**63, 2**64, -(2**63) - 1]).map(str),
)
STRINGS = st.one_of(
    st.text(max_size=20).map(json.dumps),
    st.text(max_size=20).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.sampled_from([r"\ud800", r"\udc00\ud800", r"\ud83d\ude00", r"\ud83dx", r"\u0000", r"\x41", r"\u12"]).map(
        '"{}"'.format
    ),
    st.sampled_from(["\0", "\n", "\ufeff", "\u2028", "\\", ""]).map('"{}"'.format),
    st.sampled_from(['"', '"a', "'a'", "a"]),
)
KEYS = STRINGS | st.sampled_from(
    [f'"{name}"' for name in ("text", "b64", "instances", "inputs", "signature_name", "examples", "context", "x")]
)
BASE64 = st.one_of(
    st.text("ABCabc019+/=-_ \n", max_size=12).map(json.dumps), st.sampled_from(['"YQ=="', '"YQ"', '"!"', "1", "null"])
).map(lambda value: f'{{"b64": {value}}}')


def objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Names may come twice."""
    members = st.tuples(KEYS, values).map(": ".join)
    return st.lists(members, max_size=3).map(lambda members: f"{{{', '.join(members)}}}")


SOUND = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 300) | st.floats(width=32) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
).map(json.dumps)


@st.composite
def arrays(draw: Draw) -> str:
    """Nested lists of one depth and width, with values of about one kind."""
    kinds = [st.integers(-2, 300).map(str), st.floats(width=16).map(json.dumps), st.booleans().map(json.dumps), STRINGS]
    value = draw(st.sampled_from([*kinds, BASE64, NUMBERS]))
    sizes = draw(st.lists(st.integers(0, 3), max_size=3))
    texts = draw(st.lists(value, min_size=1, max_size=4))
    for size in sizes:
        texts = [f"[{', '.join((texts * 3)[:size])}]"]
    return texts[0]


VALUES = (
    arrays()
    | SOUND
    | st.recursive(
        NUMBERS | STRINGS | BASE64 | st.sampled_from(["null", "true", "false", "", "True", "undefined"]),
        lambda inner: st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]") | objects(inner),
        max_leaves=8,
    )
)
ROWS = st.lists(VALUES, min_size=1, max_size=3).map(", ".join)
DOCUMENTS = st.one_of(
    VALUES,
    objects(VALUES),
    ROWS.map(lambda rows: f'{{"instances": [{rows}]}}'),
    ROWS.map(lambda rows: f'{{"instances": [{{"text": {rows}}}]}}'),
    VALUES.map(lambda value: f'{{"inputs": {value}}}'),
    VALUES.map(lambda value: f'{{"inputs": {{"text": {value}}}}}'),
    ROWS.map(lambda rows: f'{{"examples": [{rows}]}}'),
    st.tuples(VALUES, VALUES, VALUES).map(
        lambda of: f'{{"signature_name": {of[0]}, "context": {of[1]}, "examples": [{{"text": {of[2]}}}]}}'
    ),
    st.tuples(VALUES, VALUES).map(lambda of: f'{{"signature_name": {of[0]}, "instances": [{of[1]}]}}'),
    st.tuples(st.sampled_from(["classify", "regress"]), STRINGS).map(
        lambda of: f'{{"signature_name": "{of[0]}", "examples": [{{"text": {of[1]}}}]}}'
    ),
    st.lists(STRINGS | BASE64, min_size=1, max_size=3).map(lambda texts: f'{{"instances": [{", ".join(texts)}]}}'),
)


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("method", METHODS)
@examples(0.6)
@given(document=DOCUMENTS)
def test_json_with_anything_in_it(server: Server, method: str, document: str) -> None:
    body = encoded(document)
    reply = post(server, "JSON", method, body, *(() if readable(body) else (400,)))
    if reply.status == 200:
        answers = reply.json
        assert list(answers) in (["predictions"], ["outputs"], ["results"]), reply


@examples(1.0)
@given(value=VALUES, dtype=st.sampled_from(sorted(ECHOED)), columnar=st.booleans())
def test_values_of_all_types(server: Server, value: str, dtype: str, columnar: bool) -> None:
    """What is taken comes back."""
    given_value = value if columnar else f"[{value}]"
    key = "inputs" if columnar else "instances"
    body = encoded(f'{{"signature_name": "{dtype}", "{key}": {given_value}}}')
    reply = post(server, "values", "predict", body, 200, 400, 501, model=ECHO)
    if reply.status == 200:
        [answer] = reply.json.values()
        sent = json.loads(body.decode(errors="surrogateescape"))[key]
        assert shape(answer) == shape(sent), (sent, answer)
        if dtype.startswith(("int", "uint")) and "8" not in dtype and "16" not in dtype:
            assert answer == sent


def shape(value: Any) -> Any:
    """The lengths of nested lists; base64 is one value."""
    return [shape(item) for item in value] if isinstance(value, list) else 0


@examples(0.1)
@given(texts=st.lists(st.text(max_size=30), min_size=1, max_size=4), ascii_only=st.booleans(), named=st.booleans())
def test_any_text_is_answered_right(server: Server, texts: list[str], ascii_only: bool, named: bool) -> None:
    rows = [{"text": text} for text in texts] if named else texts
    body = json.dumps({"instances": rows}, ensure_ascii=ascii_only).encode()
    predictions = post(server, "good", "predict", body, 200).json["predictions"]
    assert [row["probability"] for row in predictions] == pytest.approx(list(map(probability_of, texts)), abs=1e-5)


Body = dict[str, Any]

WRONG: dict[str, tuple[str, Body]] = {
    "neither key": ("predict", {}),
    "both keys": ("predict", {"instances": ["a"], "inputs": ["a"]}),
    "no instances": ("predict", {"instances": []}),
    "instances that are no list": ("predict", {"instances": {"text": "a"}}),
    "a name that is none": ("predict", {"instances": [{"txt": "a"}]}),
    "a name more": ("predict", {"instances": [{"text": "a", "more": "b"}]}),
    "rows of two forms": ("predict", {"instances": [{"text": "a"}, "b"]}),
    "ragged": ("predict", {"instances": [["a"], ["b", "c"]]}),
    "a rank too many": ("predict", {"instances": [["a"], ["b"]]}),
    "a scalar": ("predict", {"inputs": "a"}),
    "numbers": ("predict", {"instances": [1, 2]}),
    "null": ("predict", {"instances": [None]}),
    "base64 that is none": ("predict", {"instances": [{"b64": "!"}]}),
    "an unknown signature": ("predict", {"signature_name": "x", "instances": ["a"]}),
    "the signature without inputs": ("predict", {"signature_name": "__saved_model_init_op", "instances": ["a"]}),
    "a signature that is no text": ("predict", {"signature_name": 1, "instances": ["a"]}),
    "too many rows": ("predict", {"instances": ["a"] * 4097}),
    "far too many rows": ("predict", {"instances": ["a"] * 100_000}),
    "no examples": ("classify", {"signature_name": "classify", "examples": []}),
    "examples that are no list": ("classify", {"signature_name": "classify", "examples": {}}),
    "an empty example": ("classify", {"signature_name": "classify", "examples": [{}]}),
    "a feature of numbers": ("regress", {"signature_name": "regress", "examples": [{"text": 1}]}),
    "a feature of two kinds": ("regress", {"signature_name": "regress", "examples": [{"text": [1, "a"]}]}),
    "a feature of lists": ("regress", {"signature_name": "regress", "examples": [{"text": [["a"]]}]}),
    "a signature of another method": ("regress", {"signature_name": "classify", "examples": [{"text": "a"}]}),
    "a context that is none": ("classify", {"signature_name": "classify", "context": 1, "examples": [{"text": "a"}]}),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_one_thing_wrong(server: Server, wrong: str) -> None:
    method, body = WRONG[wrong]
    post(server, "wrong", method, json.dumps(body).encode(), 400)


N = 200_000
HEAVY: dict[str, bytes] = {
    "lists": b"[" * N,
    "lists, closed": b'{"instances":' + b"[" * N + b"]" * N + b"}",
    "lists as deep as a reader takes": b'{"instances":' + b"[" * 900 + b'"a"' + b"]" * 900 + b"}",
    "more dimensions than arrays have": b'{"instances":' + b"[" * 60 + b'"a"' + b"]" * 60 + b"}",
    "objects": b'{"a":' * N,
    "objects, closed": b'{"inputs":' * N + b"1" + b"}" * N,
    "a string that does not end": b'{"a": 1e100, "' + b"x" * N,
    "escaped quotation marks": b'{"a": 1e100, "' + rb"\"" * N,
    "backslashes": b'{"a": 1e100, "' + b"\\" * N,
    "quotation marks": b'{"a": 1e100, ' + b'"' * N,
    "digits": b'{"a": ' + b"9" * N + b"}",
    "digits after the point": b'{"instances": [0.' + b"9" * N + b"]}",
    "signs": b'{"a": ' + b"-" * N,
    "numbers of 300 digits": b'{"a": [' + (b"1" * 300 + b",") * (N // 100) + b"1]}",
    "exponents": b'{"a": [' + b"1e100," * N + b"1e999]}",
    "surrogates": b'{"a": "' + rb"\ud83d\ude00" * N + rb"\ud83d" + b'"}',
    "bytes that are not UTF-8": b'{"' + b"\xff" * N + b'": 1}',
    "spaces": b" " * N,
    "commas": b'{"a": [' + b"," * N,
    "closing brackets": b'{"a": [1 ' + b'"[]{}"' * N,
    "keys": b"{" + b",".join(b'"%d": 1' % number for number in range(N)) + b"}",
    "one key often": b"{" + b",".join([b'"instances": ["a"]'] * N) + b', "inputs": 1}',
    "names of features": b'{"examples": [{' + b",".join(b'"%d": [' % number + b"]" for number in range(N)) + b"}]}",
}


@pytest.mark.parametrize("method", ["predict", "classify"])
@pytest.mark.parametrize("heavy", HEAVY)
def test_heavy_bodies(server: Server, heavy: str, method: str) -> None:
    """Each is answered within server.PATIENCE, however a reader might lose itself in it."""
    post(server, "heavy", method, HEAVY[heavy], 400)


def test_a_body_that_is_too_large(server: Server) -> None:
    post(server, "heavy", "predict", b" " * (65 * 2**20), 413)


def test_a_body_that_is_too_large_once_it_is_unpacked(server: Server) -> None:
    packed = gzip.compress(b" " * 2**28)
    reply = server.ask(b"POST", TARGET, packed, [(b"Content-Encoding", b"gzip")])
    assert reply is not None
    server.count("REST heavy", reply.status)
    assert_answer(reply, 413)


# Paths and methods

ENCODED = st.binary(min_size=1, max_size=9).map(quote).filter(lambda text: "/" not in text)
NAMES = st.one_of(
    ENCODED,
    st.sampled_from(["%", "%0", "%zz", "%00", "%2F", "%3A", "%ff", "%c0%80", "..", ".", "%2e%2e", "é", "\x7f"]),
    st.just("a" * 2000),
)
VERSION_NAMES = st.integers().map(str) | st.sampled_from(["0" * 50 + "1", "9" * 30, "1e0", "+1", "%31", "१"])


def http_method(draw: Draw) -> str:
    known = st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "PROPFIND"])
    return draw(known)


@examples(0.5)
@given(data=st.data())
def test_any_method_on_any_path(server: Server, data: st.DataObject) -> None:
    method = http_method(data.draw)
    known = ["v1", "V1", "models", MODEL, "versions", "1", "labels", LABEL, "metadata", ""]
    segment = NAMES | VERSION_NAMES | st.sampled_from(known)
    path = "/" + "/".join(data.draw(st.lists(segment, max_size=7)))
    path += data.draw(st.sampled_from(["", ":predict", ":PREDICT", ":classify", ":nope", ":", "?a=%zz", "#x", "?"]))
    assert_path_is_answered(server, method, path)


def assert_path_is_answered(server: Server, method: str, path: str) -> None:
    reply = server.ask(method.encode(), encoded(path), b"")
    if reply is None:
        server.count("REST path", "closed")
        return
    server.count("REST path", reply.status)
    if method == "HEAD":
        assert reply.status in TABLE
    elif path.lower().startswith("/v1/") and reply.is_json:
        assert_answer(reply)
    elif path.partition("?")[0].partition("#")[0] == "/" or path.startswith("//"):
        assert reply.status in (200, 400, 404), reply
    else:
        # Outside the API, or refused by aiohttp's parser before it saw the path.
        assert reply.status in (400, 404), reply
        assert reply.headers["content-type"].startswith("text/plain"), reply


@examples(0.2)
@given(name=NAMES, ending=st.sampled_from(["", "/metadata", ":predict", ":classify", ":regress"]))
def test_unknown_models(server: Server, name: str, ending: str) -> None:
    method = ending.removeprefix(":")
    body = json.dumps(GOOD[method]).encode() if method in GOOD else b""
    reply = server.ask(b"POST" if body else b"GET", encoded(f"/v1/models/{name}{ending}"), body)
    assert reply is not None
    server.count("REST unknown", reply.status)
    if reply.is_json or (name.isascii() and name.isprintable()):
        assert_answer(reply, 404)
    else:
        assert reply.status == 400, reply


@examples(0.2)
@given(
    version=st.integers(0, 2**70).filter(lambda number: number not in VERSIONS),
    zeros=st.integers(0, 30),
    ending=st.sampled_from(["", "/metadata", ":predict"]),
)
def test_unknown_versions(server: Server, version: int, zeros: int, ending: str) -> None:
    path = f"/v1/models/{MODEL}/versions/{'0' * zeros}{version}{ending}"
    body = json.dumps(GOOD["predict"]).encode() if ending == ":predict" else b""
    reply = server.ask(b"POST" if body else b"GET", path.encode(), body)
    assert reply is not None
    server.count("REST unknown", reply.status)
    assert_answer(reply, 404 if version < 2**63 else 400)


@examples(0.1)
@given(label=ENCODED.filter(lambda text: text != LABEL), ending=st.sampled_from(["", "/metadata", ":predict"]))
def test_unknown_labels(server: Server, label: str, ending: str) -> None:
    body = json.dumps(GOOD["predict"]).encode() if ending == ":predict" else b""
    path = f"/v1/models/{MODEL}/labels/{label}{ending}"
    reply = server.ask(b"POST" if body else b"GET", path.encode(), body)
    assert reply is not None
    server.count("REST unknown", reply.status)
    assert_answer(reply, 400)


@examples(0.1)
@given(method=st.sampled_from(["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "GET"]), body=st.binary(max_size=20))
def test_wrong_methods(server: Server, method: str, body: bytes) -> None:
    reply = server.ask(method.encode(), f"/v1/models/{MODEL}:predict".encode(), body)
    assert reply is not None
    server.count("REST path", reply.status)
    assert assert_answer(reply, 400).error == f"Malformed request: {method} /v1/models/{MODEL}:predict"


# Headers

VALUE_BYTES = st.binary(max_size=40).filter(lambda value: not set(value) & set(b"\r\n\0"))


CODINGS = [b"gzip", b"deflate", b"br", b"zstd", b"identity", b"gzip, gzip", b"x"]
NAMES_OF_HEADERS = (
    b"Content-Type Accept Accept-Encoding Expect Connection Upgrade Cookie Origin Authorization If-Match Range Host"
).split()
VALUES_OF_HEADERS = [
    *(b"100-continue", b"close", b"upgrade", b"websocket", b"h2c", b"bytes=0-0", b"a" * 7000),
    *(b"text/plain; charset=nope", b"multipart/form-data", b"application/x-www-form-urlencoded"),
]


@examples(0.2)
@given(
    header=st.tuples(st.just(b"Content-Encoding"), st.sampled_from(CODINGS) | VALUE_BYTES)
    | st.tuples(st.sampled_from(NAMES_OF_HEADERS), VALUE_BYTES | st.sampled_from(VALUES_OF_HEADERS))
)
def test_odd_headers(server: Server, header: tuple[bytes, bytes]) -> None:
    """A body that is not packed as a header says is the client's mistake; the other headers do not matter."""
    reply = server.ask(b"POST", TARGET, BODY, [header])
    if reply is None:
        server.count("REST headers", "closed")
        return
    server.count("REST headers", reply.status)
    if reply.is_json:
        assert_answer(reply, 200, 400)
    else:
        # aiohttp's own: what it cannot parse, and an Expect that it does not know.
        assert reply.status in (400, 417), reply


LENGTHS = [b"-1", b"+5", b"0x10", b"1e3", b"", b" ", b"99999999999999999999999", b"5, 5", b"abc", b"\xff", b"0", b"3"]


@pytest.mark.parametrize("length", [*LENGTHS, b"%d" % (len(BODY) - 1), b"%d" % (len(BODY) + 1), b"9" * 19])
@pytest.mark.parametrize("more", [b"", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 1\r\n"])
def test_lies_about_the_length(server: Server, length: bytes, more: bytes) -> None:
    head = b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %s\r\n%s\r\n" % (TARGET, length, more)
    assert_survives(server, "lengths", head + BODY)


def assert_survives(server: Server, kind: str, data: bytes) -> list[Reply]:
    """The answers to bytes on a connection of their own, each well formed; there may be none."""
    connection = Connection(server.rest_port)
    replies = []
    try:
        connection.send(data)
        # What is not complete is not answered: the wait for it is short.
        while (reply := connection.reply(timeout=0.05)) is not None:
            replies.append(reply)
            if reply.is_json:
                assert_answer(reply)
            else:
                assert reply.status in (200, 400, 404, 405, 413, 417, 431, 501), reply
    finally:
        connection.close()
    for reply in replies:
        server.count(f"raw HTTP {kind}", reply.status)
    if not replies:
        server.count(f"raw HTTP {kind}", "not answered")
    return replies


CHUNKS = st.one_of(
    st.binary(max_size=30).map(lambda data: b"%x\r\n%s\r\n" % (len(data), data)),
    st.sampled_from(
        [b"%x\r\n%s\r\n" % (len(BODY), BODY), b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"-1\r\n", b"f" * 18 + b"\r\n"]
    ),
    st.sampled_from(
        [b"zz\r\n", b'5;ext="a\r\nb"\r\n', b"5\nabcde\n", b"\r\n", b"7fffffffffffffff\r\na", b"5\r\nabcdefgh\r\n"]
    ),
    st.binary(max_size=20),
)


@examples(0.15)
@given(chunks=st.lists(CHUNKS, max_size=5).map(b"".join), coding=st.sampled_from([b"chunked", b"gzip, chunked", b"x"]))
def test_chunks(server: Server, chunks: bytes, coding: bytes) -> None:
    head = b"POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: %s\r\n\r\n" % (TARGET, coding)
    assert_survives(server, "chunks", head + chunks)


def test_good_chunks(server: Server) -> None:
    head = b"POST %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n" % TARGET
    connection = Connection(server.rest_port)
    connection.send(head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY))
    reply = connection.reply()
    assert reply is not None
    assert_answer(reply, 200)


@examples(0.2)
@given(data=st.data())
def test_good_requests_that_were_damaged(server: Server, data: st.DataObject) -> None:
    request = bytearray(b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (TARGET, len(BODY), BODY))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(request)))
        request[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    assert_survives(server, "damaged", bytes(request))


@examples(0.1)
@given(data=st.binary(max_size=300))
def test_bytes_that_are_no_http(server: Server, data: bytes) -> None:
    assert_survives(server, "bytes", data)


PIECES = [
    *(b"GET ", b"POST ", b"\r\n", b"\n", b"\0", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b" HTTP/9.9\r\n", b"Host: a\r\n"),
    *(b"Content-Length: 1\r\n", b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n", b": ", b" folded\r\n"),
    *(b"X: " + b"a" * 9000 + b"\r\n", b"X" * 9000, b"/?" + b"a" * 9000, b"*", b"\r\n\r\n", b"1\r\n"),
    *(TARGET, b"http://a/v1/models/m", b"/v1/models/m", b"CONNECT a:1 HTTP/1.1\r\n"),
    *(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00"),
]


@examples(0.2)
@given(pieces=st.lists(st.sampled_from(PIECES), min_size=1, max_size=8).map(b"".join))
def test_pieces_of_http(server: Server, pieces: bytes) -> None:
    assert_survives(server, "pieces", pieces)


def test_very_many_headers(server: Server) -> None:
    head = b"GET /v1/models/m HTTP/1.1\r\nHost: a\r\n" + b"X-Header: %s\r\n" % (b"a" * 100) * 20_000
    assert_survives(server, "pieces", head + b"\r\n")


@examples(0.02)
@given(sent=st.integers(0, 120))
def test_requests_that_are_broken_off(server: Server, sent: int) -> None:
    request = b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (TARGET, len(BODY), BODY)
    connection = Connection(server.rest_port)
    connection.send(request[:sent])
    connection.close()
    server.count("raw HTTP broken off", "not answered")
