"""What a loaded version answers, what it refuses, and that nothing of it stays behind."""

import gc
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from serving_models import examples, labels_of, probability_of, write_broken_model, write_model, write_saved_model

from serving.server import servable as servable_module
from serving.server.errors import ServingError
from serving.server.servable import EngineOptions, Servable

TEXTS = ["", "short", "x" * 500, "é" * 499]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("servable"), 7)


@pytest.fixture(scope="module", params=[1, 2])
def servable(folder: Path, request: pytest.FixtureRequest) -> Iterator[Servable]:
    """With requests run in the caller's thread, and in the session's threads."""
    loaded = Servable.load("texts", 7, folder, EngineOptions(inter_threads=request.param))
    yield loaded
    loaded.close()


def strings(values: list[str] | list[bytes]) -> np.ndarray:
    return np.array([value.encode() if isinstance(value, str) else value for value in values], object)


def signature(name: str, **outputs: tf.Tensor) -> dict[str, tf.types.experimental.PolymorphicFunction]:
    """A signature of one float input `x` [b] whose outputs do not depend on it."""
    return {name: tf.function(lambda x: outputs, input_signature=[tf.TensorSpec([None], tf.float32, name="x")])}


def test_it_says_what_it_is(servable: Servable, folder: Path) -> None:
    assert (servable.name, servable.version, servable.folder, servable.engine) == ("texts", 7, folder, "savedmodel")
    assert set(servable.signatures) == {
        "serving_default",
        "serve_examples",
        "classify",
        "regress",
        "__saved_model_init_op",
    }


def test_each_signature_answers_by_alias_in_order(servable: Servable) -> None:
    probabilities = [probability_of(text) for text in TEXTS]
    labels = [labels_of(7)[probability >= 0.5].encode() for probability in probabilities]
    answer = servable.run("serving_default", {"text": strings(TEXTS)})
    assert answer["label"].dtype == object
    assert answer["label"].tolist() == labels
    assert answer["probability"].dtype == np.float32
    np.testing.assert_allclose(answer["probability"], probabilities, rtol=1e-6)
    np.testing.assert_allclose(answer["probabilities"][:, 1], probabilities, rtol=1e-6)
    of_examples = servable.run("serve_examples", {"examples": strings(examples(TEXTS))})
    np.testing.assert_array_equal(of_examples["probabilities"], answer["probabilities"])
    classes = servable.run("classify", {"inputs": strings(examples(TEXTS))})
    assert classes["classes"].tolist() == [[label.encode() for label in labels_of(7)]] * len(TEXTS)
    np.testing.assert_array_equal(classes["scores"], answer["probabilities"])
    regression = servable.run("regress", {"inputs": strings(examples(TEXTS))})
    np.testing.assert_array_equal(regression["outputs"], answer["probability"])


def test_only_the_outputs_that_are_wanted_come_in_their_order(servable: Servable) -> None:
    inputs = {"text": strings(["a"])}
    assert list(servable.run("serving_default", inputs, ["probability", "label"])) == ["probability", "label"]
    assert list(servable.run("serving_default", inputs, ["label"])) == ["label"]


def test_an_empty_batch_is_answered(servable: Servable) -> None:
    answer = servable.run("serving_default", {"text": strings([])})
    assert {alias: value.shape for alias, value in answer.items()} == {
        "label": (0,),
        "probability": (0,),
        "probabilities": (0, 2),
    }


@pytest.mark.parametrize(
    ("name", "inputs", "outputs", "code", "words"),
    [
        ("nope", {}, None, "FAILED_PRECONDITION", 'Serving signature key "nope" not found.'),
        ("serving_default", {}, None, "INVALID_ARGUMENT", "['text']"),
        ("serving_default", {"text": ["a"], "more": ["b"]}, None, "INVALID_ARGUMENT", "'more'"),
        ("serving_default", {"text": ["a"]}, ["score"], "INVALID_ARGUMENT", "'score'"),
        ("serving_default", {"text": [1.5]}, None, "INVALID_ARGUMENT", "string"),
        ("serve_examples", {"examples": ["no example"]}, None, "INVALID_ARGUMENT", "Could not parse example"),
    ],
)
def test_what_it_cannot_answer_is_refused_and_the_next_request_is_answered(
    name: str,
    inputs: dict[str, list[str]],
    outputs: list[str] | None,
    code: str,
    words: str,
    servable: Servable,
) -> None:
    arrays = {
        alias: strings(values) if isinstance(values[0], str) else np.array(values) for alias, values in inputs.items()
    }
    with pytest.raises(ServingError) as raised:
        servable.run(name, arrays, outputs)
    assert raised.value.code == grpc.StatusCode[code]
    assert words in raised.value.message
    assert servable.run("serving_default", {"text": strings(["a"])})["label"].tolist() == [b"short-v7"]


def test_a_long_message_of_tensorflow_is_cut(servable: Servable) -> None:
    with pytest.raises(ServingError) as raised:
        servable.run("serving_default", {"text": strings(["a"])}, ["x" * 5000])
    assert len(raised.value.message) == 1024 + len("...TRUNCATED")
    assert raised.value.message.endswith("...TRUNCATED")


def test_scalars_strings_of_rank_0_and_two_aliases_of_one_tensor(tmp_path: Path) -> None:
    @tf.function(input_signature=[tf.TensorSpec([], tf.string, name="text")])
    def serve(text: tf.Tensor) -> dict[str, tf.Tensor]:
        upper = tf.strings.upper(text)
        return {"first": upper, "second": upper, "length": tf.strings.length(text)}

    loaded = Servable.load("scalar", 1, write_saved_model(tmp_path / "1", {"serving_default": serve}))
    answer = loaded.run("serving_default", {"text": np.array(b"ab", object)})
    loaded.close()
    assert {alias: (value.shape, value.item()) for alias, value in answer.items()} == {
        "first": ((), b"AB"),
        "second": ((), b"AB"),
        "length": ((), 2),
    }


def test_clients_that_ask_for_ever_other_outputs_do_not_fill_the_memory(tmp_path: Path) -> None:
    many = {f"o{index}": tf.fill([1], float(index)) for index in range(24)}
    loaded = Servable.load("many", 1, write_saved_model(tmp_path / "1", signature("serving_default", **many)))
    inputs = {"x": np.zeros([1], np.float32)}
    for index in range(len(many)):
        assert loaded.run("serving_default", inputs, [f"o{index}"])[f"o{index}"].tolist() == [index]
    assert len(loaded._callables) == 1
    loaded.close()


def test_many_threads_get_their_own_answers(servable: Servable) -> None:
    wrong: list[int] = []

    def ask(number: int) -> None:
        for _ in range(50):
            answer = servable.run("serving_default", {"text": strings(["x" * number])})
            if not np.allclose(answer["probability"], [number / 1000], atol=1e-6):
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_what_is_no_saved_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(ServingError) as raised:
        Servable.load("texts", 1, write_broken_model(tmp_path, 1))
    assert raised.value.code == grpc.StatusCode.DATA_LOSS
    assert str(tmp_path / "1" / "saved_model.pb") in raised.value.message
    (tmp_path / "2").mkdir()
    with pytest.raises(ServingError, match="SavedModel file does not exist"):
        Servable.load("texts", 2, tmp_path / "2")


def test_the_int8_engine_must_be_there_where_it_is_asked_for(folder: Path) -> None:
    with pytest.raises(ServingError, match=r"has no assets\.extra/int8") as raised:
        Servable.load("texts", 7, folder, EngineOptions(engine="int8"))
    assert raised.value.code == grpc.StatusCode.FAILED_PRECONDITION


def test_a_closed_version_refuses_and_leaves_no_graph_or_session_behind(folder: Path) -> None:
    loaded = Servable.load("texts", 7, folder)
    loaded.run("serving_default", {"text": strings(["a"])})
    left = [weakref.ref(loaded._session), weakref.ref(loaded._session.graph)]
    gc.collect()
    gc.disable()  # nothing of it may wait for the collector, which would stop the server for long
    try:
        loaded.close()
        loaded.close()
        assert [reference() for reference in left] == [None, None]
    finally:
        gc.enable()
    with pytest.raises(ServingError) as raised:
        loaded.run("serving_default", {"text": strings(["a"])})
    assert raised.value.code == grpc.StatusCode.UNAVAILABLE


class Counting:
    """An engine that answers the number of its requests."""

    def __init__(self) -> None:
        self.requests = 0
        self.closed = False

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.requests += 1
        rows = len(inputs["text"])
        return {
            "label": np.array([b"int8"] * rows, object),
            "probability": np.full([rows], 0.25, np.float32),
            "probabilities": np.full([rows, 2], 0.5, np.float32),
        }

    def close(self) -> None:
        self.closed = True


def test_the_int8_engine_answers_serving_default_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Counting()
    monkeypatch.setattr(servable_module, "_open_int8", lambda folder, options: engine)
    loaded = Servable.load("texts", 7, folder)
    assert loaded.engine == "int8"
    inputs = {"text": strings(["a", "b"])}
    assert loaded.run("serving_default", inputs)["label"].tolist() == [b"int8"] * 2
    assert list(loaded.run("serving_default", inputs, ["probability"])) == ["probability"]
    regression = loaded.run("regress", {"inputs": strings(examples(["abc"]))})
    assert regression["outputs"].tolist() == [pytest.approx(0.003)]
    assert engine.requests == 2
    loaded.close()
    assert engine.closed
