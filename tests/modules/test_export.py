"""Every task's model exported with all engines, loaded as servers load them, against the model as it was trained."""

import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tf_keras
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow_serving.apis.inference_pb2 import MultiInferenceRequest
from transform_graph import example, transform_rows

from modules import input_pipeline
from modules.encoder import load_encoder
from modules.export import ROUNDING, ExportSettings, Judge, Sample, export, sample_of, serving_parts
from modules.fast_encoder import FastEncoder, bert_weights
from modules.heads.head import Head, inference
from modules.tasks import task_from
from modules.tasks.task import Task
from modules.wordpiece import read_vocabulary
from serving.int8 import Int8Model
from serving.lite import FOLDER
from serving.server.servable import EngineOptions, Servable
from serving.server.signatures import run_multi_inference

MAX_SEQ_LENGTH = 24
TEXTS = [
    "good film",
    "a bad film, and long: " + "good " * 9,
    "why?",
    "Bad. Bad! bad?",
    "film " * 60,
    "is this me",
    "é ☃",
]
LONG = "Ada keeps the old lighthouse. " + "The sea is bad, the film is good. " * 9 + "Max keeps a dog."
CASES: dict[str, tuple[dict[str, Any], list[dict[str, str | int]], list[dict[str, str]]]] = {
    "binary": (
        {"task": "binary", "labels": ["no", "yes"], "options": {}},
        [{"text": text, "label": i % 2} for i, text in enumerate(TEXTS * 8)],
        [{"text": text} for text in TEXTS],
    ),
    "multiclass": (
        {"task": "multiclass", "labels": ["a", "b", "c"], "options": {}},
        [{"text": text, "label": i % 3} for i, text in enumerate(TEXTS * 8)],
        [{"text": text} for text in TEXTS],
    ),
    "crf": (
        {"task": "token_classification", "labels": ["x", "y"], "options": {"head": "crf", "window_stride": 12}},
        [
            {"tokens": "good film in bad", "tags": "B-x I-x O B-y"},
            {"tokens": "good " * 40 + "film", "tags": "O " * 40 + "B-y"},
        ]
        * 8,
        [{"text": text} for text in [*TEXTS, ""]],
    ),
    "answers": (
        {
            "task": "question_answering",
            "labels": ["answerable", "unanswerable"],
            "options": {"window_stride": 6, "max_question_length": 8, "max_answer_length": 4},
        },
        [{"question": "who keeps it?", "context": LONG, "answer": "Ada", "answer_start": 0}] * 8,
        [{"question": "who keeps a dog?", "context": LONG}, {"question": "who?", "context": "Max."}],
    ),
}


class Case(NamedTuple):
    task: Task
    head: Head
    model: tf_keras.Model
    transform: tft.TFTransformOutput
    facts: dict[str, Any]
    sample: Sample
    requests: list[dict[str, str]]
    expected: dict[str, np.ndarray]
    """The trained model's own answers to the requests."""

    def export(self, folder: Path, **settings: Any) -> dict[str, Any]:
        chosen = {"precision": "float32", "int8": False, "max_difference": 1.0, "max_flips": 1.0, **settings}
        rounding = chosen.pop("rounding", ROUNDING)
        parts = serving_parts(self.model, self.transform, self.task)
        arguments = (self.model, inference(self.model), self.head, self.task, self.facts, parts, self.sample)
        return export(*arguments, ExportSettings(**chosen), str(folder), rounding=rounding)


def columns(requests: list[dict[str, str]]) -> dict[str, tf.Tensor]:
    return {name: tf.constant([request[name] for request in requests], tf.string) for name in requests[0]}


def arrays(requests: list[dict[str, str]]) -> dict[str, np.ndarray]:
    return {name: np.array([r[name].encode() for r in requests], object) for name in requests[0]}


SLOW = ("multiclass", "crf", "answers")
EACH_CASE = [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in CASES]


@pytest.fixture(scope="module", params=EACH_CASE)
def case(request: Any, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A model with random weights in its head, large enough that answers differ."""
    spec, rows, requests = CASES[request.param]
    task = task_from({"columns": {}, **spec})
    folder = tmp_path_factory.mktemp("case")
    vocab_file = tiny_encoder / "assets" / "vocab.txt"
    transform = transform_rows(rows, task, vocab_file, MAX_SEQ_LENGTH, folder)
    tokens = read_vocabulary(vocab_file)
    head = task.head(max_seq_length=MAX_SEQ_LENGTH, cls=tokens.index("[CLS]"), sep=tokens.index("[SEP]"))
    tf_keras.utils.set_random_seed(5)
    model = head.build(load_encoder(str(tiny_encoder)), dropout=0.1)
    for layer in model.layers:
        if layer.name != "encoder":
            layer.set_weights([tf.random.normal(weight.shape).numpy() for weight in layer.get_weights()])
    everything = input_pipeline.all_rows([str(folder / "rows*")], transform.transformed_feature_spec(), head)
    sample = sample_of(input_pipeline.batches(everything, 16, most=40), inference(model))
    facts = {"threshold": 0.5, "thresholds": None}
    parts = serving_parts(model, transform, task)
    answer = tf.function(head.serving(model, inference(model), facts, parts).answer)
    expected = {name: values.numpy() for name, values in answer(columns(requests)).items()}
    return Case(task, head, model, transform, facts, sample, requests, expected)


class Whole(NamedTuple):
    folder: Path
    record: dict[str, Any]


@pytest.fixture(scope="module")
def whole(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """The case's model with every engine."""
    folder = tmp_path_factory.mktemp("whole")
    return Whole(folder, case.export(folder, int8=True))


ONE_TASK = pytest.mark.parametrize("case", ["binary"], indirect=True)
"""For what the tasks have in common."""


def notes(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.progress["note"] for record in caplog.records if record.name == "tfx_bert.progress"]


def assert_equal(found: dict[str, np.ndarray], expected: dict[str, np.ndarray], within: float) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        if values.dtype == np.float32:
            np.testing.assert_allclose(found[name], values, atol=within, err_msg=name)
        else:
            assert found[name].tolist() == values.tolist(), name


def test_the_exported_model_is_rewritten_and_answers_as_the_trained_one(case: Case, whole: Whole) -> None:
    record = whole.record
    assert record["encoder"] == "rewritten"
    assert record["float32"]["max_difference"] <= ROUNDING
    assert record["float32"]["flips"] == 0
    assert record["float32"]["rows"] == sum(len(scores) for scores in case.sample.scores) > 7
    loaded = tf.saved_model.load(str(whole.folder))
    answers = loaded.signatures["serving_default"](**columns(case.requests))
    assert_equal({k: v.numpy() for k, v in answers.items()}, case.expected, ROUNDING)
    left = sum(int(np.prod(v.shape)) for v in loaded.signatures["serving_default"].graph.variables)
    assert left < 100, "the weights are constants; what a CRF decodes with may be left"


def test_the_int8_model_answers_like_the_trained_one_text_by_text_and_together(case: Case, whole: Whole) -> None:
    assert whole.record["int8"]["kept"] is True
    assert 0 < whole.record["int8"]["max_difference"] < 0.2
    int8 = Int8Model(whole.folder / FOLDER, threads=1)
    expected = case.expected
    together = int8.run(arrays(case.requests))
    assert together.keys() == expected.keys()
    for name, values in expected.items():
        assert together[name].shape[0] == values.shape[0]
        assert together[name].dtype == values.dtype, name
    many = int8.run(arrays(case.requests * 9))
    first = next(iter(expected))
    for row, request in enumerate(case.requests):
        alone = int8.run(arrays([request]))
        assert alone[first].tolist()[0] == together[first].tolist()[row] == many[first].tolist()[row]
    with_all_cores = Int8Model(whole.folder / FOLDER, threads=2).run(arrays(case.requests))
    assert {name: values.tolist() for name, values in with_all_cores.items()} == {
        name: values.tolist() for name, values in together.items()
    }
    score = next(name for name in ("probability", "entity_score", "score") if name in expected)
    if expected[score].shape == together[score].shape:
        assert np.abs(expected[score] - together[score]).max() < 0.3
    int8.close()


def test_requests_run_together_on_the_int8_engine_where_their_answers_have_the_same_shape_alone(
    case: Case, whole: Whole
) -> None:
    served = Servable.load("m", 1, whole.folder)
    assert served.runs_together("serving_default") is ("entity_type" not in case.expected)
    assert not served.runs_together("serve_examples")
    if served.runs_together("serving_default"):
        together = served.run("serving_default", arrays(case.requests))
        for row, request in enumerate(case.requests):
            for name, values in served.run("serving_default", arrays([request])).items():
                assert values.tolist() == together[name][row : row + 1].tolist(), name
    served.close()
    by_tensorflow = Servable.load("m", 1, whole.folder, EngineOptions(engine="savedmodel"))
    assert not by_tensorflow.runs_together("serving_default")
    by_tensorflow.close()


@ONE_TASK
def test_an_engine_that_differs_by_more_than_is_allowed_is_left_out_and_that_is_told(
    case: Case, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "tfx_bert.progress"):
        record = case.export(tmp_path, int8=True, precision="bfloat16", max_difference=0.0)
    assert (record["precision"], record["bfloat16"]["kept"], record["int8"]["kept"]) == ("float32", False, False)
    assert not (tmp_path / FOLDER).exists()
    told = notes(caplog)
    assert [note.split(" ")[0] for note in told] == ["bfloat16", "int8"]
    assert all("export.max_difference allows 0" in note for note in told)
    answers = tf.saved_model.load(str(tmp_path)).signatures["serving_default"](**columns(case.requests))
    assert_equal({k: v.numpy() for k, v in answers.items()}, case.expected, ROUNDING)


@ONE_TASK
def test_bfloat16_is_exported_where_it_is_close_enough(case: Case, tmp_path: Path) -> None:
    record = case.export(tmp_path, precision="bfloat16")
    assert record["precision"] == "bfloat16"
    assert ROUNDING < record["bfloat16"]["max_difference"] < 0.5
    signature = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    assert signature(**columns(case.requests)).keys() == case.expected.keys()
    assert "bfloat16" in {
        node.attr["T"].type and tf.as_dtype(node.attr["T"].type).name
        for function in signature.graph.as_graph_def().library.function
        for node in function.node_def
        if node.op == "MatMul"
    }


@ONE_TASK
def test_a_rewrite_that_answers_otherwise_is_not_exported(
    case: Case, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "tfx_bert.progress"):
        record = case.export(tmp_path, rounding=-1.0)
    assert record["encoder"] == "as trained"
    assert "at most -1 is allowed" in record["reason"]
    assert "exported as it was trained" in notes(caplog)[0]
    answers = tf.saved_model.load(str(tmp_path)).signatures["serving_default"](**columns(case.requests))
    assert_equal({k: v.numpy() for k, v in answers.items()}, case.expected, 1e-6)


def test_the_engines_are_compared_where_they_differ(case: Case) -> None:
    """A judge that sees nothing would pass anything."""
    judge = Judge(case.head, case.model, case.facts, case.sample)
    same = judge.difference(inference(case.model))
    assert (same.max_difference, same.flips) == (0.0, 0)
    other = judge.difference(lambda inputs: 1 - inference(case.model)(inputs))
    assert other.max_difference > 0.01
    assert other.flips > 0
    assert 0 < other.flip_rate <= 1


def test_classify_and_regress_speak_tf_servings_methods(case: Case, whole: Whole) -> None:
    saved = SavedModel.FromString((whole.folder / "saved_model.pb").read_bytes())
    methods = {name: d.method_name for name, d in saved.meta_graphs[0].signature_def.items() if d.method_name}
    wanted = {"binary": {"classify", "regress"}, "multiclass": {"classify"}}.get(case.task.name, set())
    assert {name for name, method in methods.items() if not method.endswith("/predict")} == wanted
    assert all(methods[name] == f"tensorflow/serving/{name}" for name in wanted)
    if not wanted:
        return
    signatures = tf.saved_model.load(str(whole.folder)).signatures
    examples = tf.constant([example(text=request["text"]) for request in case.requests])
    expected = case.expected
    found = signatures["classify"](inputs=examples)
    assert found["classes"].numpy().tolist() == [[label.encode() for label in case.task.labels or ()]] * len(examples)
    np.testing.assert_allclose(found["scores"], expected["probabilities"], atol=ROUNDING)
    defined = saved.meta_graphs[0].signature_def
    assert set(defined["classify"].outputs) == {"classes", "scores"}
    if "regress" in wanted:  # one input for both, so that MultiInference can ask both
        assert defined["regress"].inputs["inputs"].name == defined["classify"].inputs["inputs"].name
        np.testing.assert_allclose(found["outputs"], expected["probability"], atol=ROUNDING)


@ONE_TASK
def test_one_multi_inference_call_asks_the_pushed_model_for_classes_and_the_number(case: Case, whole: Whole) -> None:
    servable = Servable.load("m", 1, whole.folder)
    request = MultiInferenceRequest()
    for request_kind in ("classify", "regress"):
        task = request.tasks.add(method_name=f"tensorflow/serving/{request_kind}")
        task.model_spec.name, task.model_spec.signature_name = "m", request_kind
    request.input.example_list.examples.add().ParseFromString(example(text=case.requests[0]["text"]))
    classes, number = run_multi_inference(servable, request).results
    assert servable._callables["classify"] is servable._callables["regress"], "prepared twice: seconds, and memory"
    assert "serve_examples" not in servable._callables
    servable.close()
    [row] = classes.classification_result.classifications
    assert [c.label for c in row.classes] == list(case.task.labels or ())
    expected = case.expected["probability"][0]
    assert row.classes[1].score == pytest.approx(expected, abs=ROUNDING)
    assert number.regression_result.regressions[0].value == pytest.approx(expected, abs=ROUNDING)


def test_an_encoder_of_other_names_is_left_as_it_is(tiny_encoder: Path) -> None:
    encoder = load_encoder(str(tiny_encoder))
    assert bert_weights(encoder) is not None
    encoder.add_weight("adapter/kernel", shape=[2, 2])
    assert bert_weights(encoder) is None


def test_too_many_tokens_are_an_error_that_says_how_many_there_may_be(tiny_encoder: Path) -> None:
    weights = bert_weights(load_encoder(str(tiny_encoder)))
    assert weights is not None
    ones = tf.ones([1, len(weights.positions) + 1], tf.int32)
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"positions for {len(weights.positions)} tokens"):
        FastEncoder(weights)(ones, ones, ones)


def test_compact_embeddings_are_as_close_as_their_bits_allow(tiny_encoder: Path) -> None:
    weights = bert_weights(load_encoder(str(tiny_encoder)))
    assert weights is not None
    # Rows of very different sizes, as trained ones are, and one of zeros.
    tokens = weights.tokens * np.logspace(-3, 0, len(weights.tokens), dtype=np.float32)[:, None]
    tokens[3] = 0
    ids = tf.range(len(tokens))[None]
    compact = FastEncoder(weights, compact_embeddings=True)
    for dtype in (np.int8, np.int16):
        found = compact._embedded(tokens, ids, dtype)[0].numpy()
        step = np.abs(tokens).max(axis=1, keepdims=True) / np.iinfo(dtype).max
        # Half a step, and what the scale's own rounding adds, a 32,767th of the largest row's step.
        assert (np.abs(found - tokens) <= 0.51 * (step + step.max() / np.iinfo(np.int16).max) + 1e-9).all()
    plain = FastEncoder(weights)._embedded(tokens, ids, np.int8)[0].numpy()
    np.testing.assert_array_equal(plain, tokens)


def test_what_the_model_is_stands_beside_it(case: Case, whole: Whole) -> None:
    facts = json.loads((whole.folder / "assets.extra" / "model.json").read_bytes())
    assert task_from(facts).spec() == case.task.spec()
    assert facts["threshold"] == 0.5
