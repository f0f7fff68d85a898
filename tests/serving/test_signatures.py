"""Requests on real models: answers, and TF Serving's messages for what a model does not have."""

from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from serving_models import example, examples, labels_of, probability_of, write_model
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest
from tensorflow_serving.apis.inference_pb2 import MultiInferenceRequest
from tensorflow_serving.apis.input_pb2 import Input
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.regression_pb2 import RegressionRequest

from serving.server.errors import ServingError
from serving.server.servable import EngineOptions, Servable
from serving.server.signatures import (
    CLASSIFY_METHOD,
    PREDICT_METHOD,
    REGRESS_METHOD,
    run_classify,
    run_multi_inference,
    run_predict,
    run_regress,
)

INVALID = grpc.StatusCode.INVALID_ARGUMENT
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
TEXTS = ["short", "x" * 700]
VERSION = 3
NOT_CLASSIFY = f"Expected classification signature method_name to be {CLASSIFY_METHOD}. Was: {REGRESS_METHOD}"
NOT_REGRESS = f"Expected regression signature method_name to be {REGRESS_METHOD}. Was: {CLASSIFY_METHOD}"
NEITHER = 'Expected classification signature outputs to contain at least one of "classes" or "scores". Signature was: '
NOT_A_TASK = f"Unsupported signature method_name: {PREDICT_METHOD}"
OTHER_INPUT = "Input tensor must be the same for all Signatures."


@pytest.fixture(scope="module")
def servable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servable]:
    """The model of a text's length: serving_default, serve_examples, classify and regress."""
    folder = write_model(tmp_path_factory.mktemp("models"), VERSION)
    loaded = Servable.load("m", VERSION, folder, EngineOptions())
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servable]:
    """A TF1 export with signatures of all kinds, sound and unsound, over the same placeholders."""
    folder = tmp_path_factory.mktemp("odd") / "1"
    write_odd_model(folder)
    loaded = Servable.load("odd", 1, folder, EngineOptions())
    yield loaded
    loaded.close()


def write_odd_model(folder: Path) -> None:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        serialized = tf.compat.v1.placeholder(tf.string, [None], "serialized")
        floats = tf.compat.v1.placeholder(tf.float32, [None, 2], "a_floats")
        anything = tf.compat.v1.placeholder(tf.int32, None, "anything")
        sizes = tf.cast(tf.strings.length(serialized), tf.float32)
        two = tf.stack([sizes, -sizes], axis=1)
        names = tf.broadcast_to(tf.constant(["plus", "minus"]), tf.shape(two))

        def signature(method: str, inputs: dict[str, tf.Tensor], outputs: dict[str, tf.Tensor]) -> object:
            utils = tf.compat.v1.saved_model.utils
            return tf.compat.v1.saved_model.signature_def_utils.build_signature_def(
                {alias: utils.build_tensor_info(tensor) for alias, tensor in inputs.items()},
                {alias: utils.build_tensor_info(tensor) for alias, tensor in outputs.items()},
                method,
            )

        read = {"inputs": serialized}
        signatures = {
            "classify": signature(CLASSIFY_METHOD, read, {"classes": names, "scores": two}),
            "scores": signature(CLASSIFY_METHOD, read, {"scores": two}),
            "classes": signature(CLASSIFY_METHOD, read, {"classes": names, "other": sizes}),
            "flat_scores": signature(CLASSIFY_METHOD, read, {"scores": sizes}),
            "whole_scores": signature(CLASSIFY_METHOD, read, {"scores": tf.cast(two, tf.int32)}),
            "one_score": signature(CLASSIFY_METHOD, read, {"scores": two[:1] + 0}),
            "unequal": signature(CLASSIFY_METHOD, read, {"classes": names, "scores": two[:, :1] + 0}),
            "neither": signature(CLASSIFY_METHOD, read, {"what": sizes}),
            "misnamed": signature(CLASSIFY_METHOD, {"examples": serialized}, {"scores": two}),
            "two_inputs": signature(CLASSIFY_METHOD, {**read, "floats": floats}, {"scores": two}),
            "regress": signature(REGRESS_METHOD, read, {"outputs": sizes}),
            "column": signature(REGRESS_METHOD, read, {"outputs": sizes[:, None] + 0}),
            "wide": signature(REGRESS_METHOD, read, {"outputs": two}),
            "elsewhere": signature(REGRESS_METHOD, {"inputs": floats}, {"outputs": floats[:, 0] + 0}),
            "numbers": signature(
                PREDICT_METHOD,
                {"x": floats, "n": anything},
                {"x": floats * 2, "n": anything + 1, "rank0": tf.reduce_sum(floats), "word": tf.constant("w")},
            ),
            "nameless": signature("", {"x": floats}, {"y": floats + 0}),
        }
        builder = tf.compat.v1.saved_model.builder.SavedModelBuilder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures)
        builder.save()
    add_default(folder / "saved_model.pb", "numbers", "n", tf.make_tensor_proto(41))


def add_default(file: Path, signature: str, alias: str, value: TensorProto) -> None:
    model = SavedModel.FromString(file.read_bytes())
    model.meta_graphs[0].signature_def[signature].defaults[alias].CopyFrom(value)
    file.write_bytes(model.SerializeToString())


def predict_request(signature: str = "", wanted: tuple[str, ...] = (), **inputs: object) -> PredictRequest:
    request = PredictRequest(output_filter=wanted)
    request.model_spec.name = "m"
    request.model_spec.signature_name = signature
    for alias, value in inputs.items():
        request.inputs[alias].CopyFrom(value if isinstance(value, TensorProto) else tf.make_tensor_proto(value))
    return request


def classify_request(signature: str = "classify", texts: list[str] = TEXTS) -> ClassificationRequest:
    request = ClassificationRequest()
    request.model_spec.name = "m"
    request.model_spec.signature_name = signature
    request.input.example_list.examples.extend(example(text) for text in texts)
    return request


def regress_request(signature: str = "regress", texts: list[str] = TEXTS) -> RegressionRequest:
    request = RegressionRequest(input=classify_request(texts=texts).input)
    request.model_spec.name = "m"
    request.model_spec.signature_name = signature
    return request


def multi_request(*tasks: tuple[str, str], texts: list[str] = TEXTS, model: str = "m") -> MultiInferenceRequest:
    request = MultiInferenceRequest(input=classify_request(texts=texts).input)
    for signature, method in tasks:
        task = request.tasks.add(method_name=method)
        task.model_spec.name = model
        task.model_spec.signature_name = signature
    return request


def error_of(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(ServingError) as error:
        call()
    return error.value.code, error.value.message


# Predict


def test_predict(servable: Servable) -> None:
    response = run_predict(servable, predict_request(text=TEXTS))
    spec = response.model_spec
    assert (spec.name, spec.signature_name, spec.version.value) == ("m", "serving_default", VERSION)
    assert not spec.version_label
    assert set(response.outputs) == {"label", "probability", "probabilities"}
    assert list(response.outputs["label"].string_val) == [label.encode() for label in labels_of(VERSION)]
    assert response.outputs["probability"].float_val == pytest.approx([probability_of(text) for text in TEXTS])
    probabilities = tf.make_ndarray(response.outputs["probabilities"])
    assert probabilities[:, 1] == pytest.approx([probability_of(text) for text in TEXTS])


def test_predict_of_a_named_signature(servable: Servable) -> None:
    response = run_predict(servable, predict_request("serve_examples", examples=examples(TEXTS)))
    assert response.model_spec.signature_name == "serve_examples"
    assert len(response.outputs) == 3
    response = run_predict(servable, predict_request("classify", inputs=examples(TEXTS)))
    assert set(response.outputs) == {"classes", "scores"}


def test_output_filter(servable: Servable) -> None:
    response = run_predict(servable, predict_request(wanted=("probability",), text=TEXTS))
    assert list(response.outputs) == ["probability"]
    expected = (
        "output tensor alias not found in signature: x "
        "Outputs expected to be in the set {label,probabilities,probability}."
    )
    assert error_of(lambda: run_predict(servable, predict_request(wanted=("x",), text=TEXTS))) == (INVALID, expected)
    twice = predict_request(wanted=("label", "label"), text=TEXTS)
    assert error_of(lambda: run_predict(servable, twice)) == (INVALID, "duplicate output tensor alias: label")


def test_unknown_signature(servable: Servable) -> None:
    error = error_of(lambda: run_predict(servable, predict_request("x", text=TEXTS)))
    assert error == (PRECONDITION, 'Serving signature key "x" not found.')


def test_signature_that_predicts_nothing(servable: Servable) -> None:
    code, message = error_of(lambda: run_predict(servable, predict_request("__saved_model_init_op")))
    assert code is grpc.StatusCode.INTERNAL
    assert message == (
        "Expected prediction signature method_name to be one of "
        "{tensorflow/serving/predict, tensorflow/serving/classify, tensorflow/serving/regress}. Was: "
    )


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            {},
            "input size does not match signature: 0!=1 len({}) != len({text}). "
            "Sent extra: {}. Missing but required: {text}.",
        ),
        (
            {"text": ["a"], "more": ["b"]},
            "input size does not match signature: 2!=1 len({more,text}) != len({text}). "
            "Sent extra: {more}. Missing but required: {}.",
        ),
        (
            {"txt": ["a"]},
            "Signature input alias: text(feed name: serving_default_text:0) not found in request and no default value "
            "provided. Inputs expected to be in the request {txt}, or default input alias set: ",
        ),
        ({"text": [1.5]}, "Expects arg[0] to be string but float is provided"),
        ({"text": TensorProto()}, "tensor parsing error: text (dtype invalid is not supported)"),
        ({"text": [["a"]]}, 'Input "text" must have shape [?], but got [1,1]'),
        ({"text": "a"}, 'Input "text" must have shape [?], but got []'),
        (
            {"text": TensorProto(dtype="DT_STRING", tensor_shape={"dim": [{"size": 3}]}, string_val=[b"a", b"b"])},
            "tensor parsing error: text (2 value(s) for shape [3])",
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value) or "none",
)
def test_inputs_that_do_not_match(servable: Servable, inputs: dict[str, object], message: str) -> None:
    assert error_of(lambda: run_predict(servable, predict_request(**inputs))) == (INVALID, message)


def test_one_value_for_a_batch(servable: Servable) -> None:
    proto = TensorProto(dtype="DT_STRING", tensor_shape={"dim": [{"size": 4}]}, string_val=[b"abcdefghij"])
    response = run_predict(servable, predict_request(text=proto))
    assert response.outputs["probability"].float_val == pytest.approx([0.01] * 4)


def test_no_rows(servable: Servable) -> None:
    response = run_predict(servable, predict_request(text=np.array([], object)))
    assert tf.make_ndarray(response.outputs["probabilities"]).shape == (0, 2)


def test_numbers_of_any_shape_and_defaults(odd: Servable) -> None:
    response = run_predict(odd, predict_request("numbers", x=np.array([[1, 2]], np.float32), n=[[1], [2]]))
    outputs = {alias: tf.make_ndarray(proto) for alias, proto in response.outputs.items()}
    assert outputs["x"].tolist() == [[2, 4]]
    assert outputs["n"].tolist() == [[2], [3]]
    assert (outputs["rank0"], outputs["word"]) == (3, b"w")
    assert outputs["rank0"].shape == outputs["word"].shape == ()
    response = run_predict(odd, predict_request("numbers", x=np.array([[1, 2]], np.float32)))
    assert tf.make_ndarray(response.outputs["n"]) == 42


def test_an_unknown_name_beside_a_default(odd: Servable) -> None:
    x = np.array([[1, 2]], np.float32)
    error = error_of(lambda: run_predict(odd, predict_request("numbers", x=x, y=[1])))
    assert error == (INVALID, "Inputs contains invalid name. Used request inputs: x, request input: x,y")
    code, message = error_of(lambda: run_predict(odd, predict_request("numbers", n=[1])))
    assert (code, message.split(".")[0]) == (
        INVALID,
        "Signature input alias: x(feed name: a_floats:0) not found in request and no default value provided",
    )


def test_arguments_are_counted_by_the_graphs_names(odd: Servable) -> None:
    error = error_of(lambda: run_predict(odd, predict_request("numbers", x=["a"], n=[1])))
    assert error == (INVALID, "Expects arg[0] to be float but string is provided")
    good = np.array([[1, 2]], np.float32)
    error = error_of(lambda: run_predict(odd, predict_request("numbers", x=good, n=["a"])))
    assert error == (INVALID, "Expects arg[1] to be int32 but string is provided")


def test_known_sizes_of_a_shape(odd: Servable) -> None:
    error = error_of(lambda: run_predict(odd, predict_request("numbers", x=np.zeros([1, 3], np.float32), n=1)))
    assert error == (INVALID, 'Input "x" must have shape [?,2], but got [1,3]')


def test_run_comes_in_between(servable: Servable) -> None:
    seen: list[object] = []

    def run(signature: str, inputs: object, outputs: object) -> dict[str, np.ndarray]:
        seen.append((signature, outputs))
        return servable.run(signature, inputs, outputs)  # type: ignore[arg-type]

    run_predict(servable, predict_request(wanted=("label",), text=TEXTS), run)
    run_predict(servable, predict_request(text=TEXTS), run)
    run_classify(servable, classify_request(), run)
    run_regress(servable, regress_request(), run)
    assert seen == [("serving_default", ["label"]), ("serving_default", None), ("classify", None), ("regress", None)]


# Classify and Regress


def test_classify(servable: Servable) -> None:
    response = run_classify(servable, classify_request())
    spec = response.model_spec
    assert (spec.name, spec.signature_name, spec.version.value) == ("m", "classify", VERSION)
    rows = [[(entry.label, entry.score) for entry in row.classes] for row in response.result.classifications]
    short, long = labels_of(VERSION)
    assert [[label for label, _ in row] for row in rows] == [[short, long]] * 2
    assert [row[1][1] for row in rows] == pytest.approx([probability_of(text) for text in TEXTS])


def test_context_is_merged_into_each_example(servable: Servable) -> None:
    request = ClassificationRequest()
    request.model_spec.name = "m"
    request.model_spec.signature_name = "classify"
    listed = request.input.example_list_with_context
    listed.context.CopyFrom(example("x" * 100))
    listed.examples.add()
    listed.examples.append(example("x" * 900))
    result = run_classify(servable, request).result
    assert [row.classes[1].score for row in result.classifications] == pytest.approx([0.1, 0.9])


def test_classes_or_scores_alone(odd: Servable) -> None:
    rows = run_classify(odd, classify_request("scores")).result.classifications
    assert [entry.label for entry in rows[0].classes] == ["", ""]
    assert rows[0].classes[0].score == len(example(TEXTS[0]).SerializeToString())
    rows = run_classify(odd, classify_request("classes")).result.classifications
    assert [(entry.label, entry.score) for entry in rows[1].classes] == [("plus", 0), ("minus", 0)]


@pytest.mark.parametrize(
    ("signature", "code", "message"),
    [
        ("x", INVALID, "No signature was found with the name: x"),
        ("", INVALID, "No signature was found with the name: serving_default"),
        ("regress", INVALID, NOT_CLASSIFY),
        ("two_inputs", INVALID, "Expected one input Tensor."),
        ("misnamed", PRECONDITION, "No classification inputs found in SignatureDef: "),
        ("neither", PRECONDITION, NEITHER),
        ("flat_scores", INVALID, "Expected Tensor shape: [batch_size num_classes] but got [2]"),
        ("whole_scores", INVALID, "Expected scores Tensor of DT_FLOAT. Got: DT_INT32"),
        ("one_score", INVALID, "Expected scores output batch size of 2. Got: 1"),
        ("unequal", INVALID, "Tensors class and score should match in dim_size(1). Got 2 vs. 1"),
    ],
)
def test_classify_signatures(odd: Servable, signature: str, code: grpc.StatusCode, message: str) -> None:
    found, text = error_of(lambda: run_classify(odd, classify_request(signature)))
    assert found is code
    assert text.startswith(message)


@pytest.mark.parametrize("given", [Input(), classify_request(texts=[]).input], ids=["nothing", "no examples"])
def test_no_examples(servable: Servable, given: Input) -> None:
    classify = classify_request()
    classify.input.CopyFrom(given)
    assert error_of(lambda: run_classify(servable, classify)) == (INVALID, "Input is empty.")
    regress = regress_request()
    regress.input.CopyFrom(given)
    assert error_of(lambda: run_regress(servable, regress)) == (INVALID, "Input is empty.")


def test_example_without_the_feature(servable: Servable) -> None:
    request = classify_request()
    request.input.example_list.examples.add()
    code, message = error_of(lambda: run_classify(servable, request))
    assert code is INVALID
    assert "text" in message


@pytest.mark.parametrize("signature", ["regress", "column"])
def test_regress(odd: Servable, signature: str) -> None:
    response = run_regress(odd, regress_request(signature))
    assert response.model_spec.signature_name == signature
    sizes = [len(serialized) for serialized in examples(TEXTS)]
    assert [row.value for row in response.result.regressions] == sizes


@pytest.mark.parametrize(
    ("signature", "code", "message"),
    [
        ("x", INVALID, "No signature was found with the name: x"),
        ("scores", INVALID, NOT_REGRESS),
        ("wide", INVALID, "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [2,2]"),
        ("elsewhere", INVALID, "Expects arg[0] to be float but string is provided"),
    ],
)
def test_regress_signatures(odd: Servable, signature: str, code: grpc.StatusCode, message: str) -> None:
    assert error_of(lambda: run_regress(odd, regress_request(signature))) == (code, message)


# MultiInference


def test_multi_inference(odd: Servable) -> None:
    request = multi_request(("classify", CLASSIFY_METHOD), ("regress", REGRESS_METHOD))
    first, second = run_multi_inference(odd, request).results
    assert (first.model_spec.signature_name, second.model_spec.signature_name) == ("classify", "regress")
    assert first.model_spec.version.value == second.model_spec.version.value == 1
    assert first.classification_result.classifications[1].classes[0].label == "plus"
    sizes = [len(serialized) for serialized in examples(TEXTS)]
    assert [row.value for row in second.regression_result.regressions] == sizes


@pytest.mark.parametrize(
    ("tasks", "code", "message"),
    [
        ([("x", CLASSIFY_METHOD)], INVALID, "Requested signature not found in model graph: x"),
        ([("regress", REGRESS_METHOD)] * 2, INVALID, "Duplicate evaluation of signature: regress"),
        ([("numbers", PREDICT_METHOD)], grpc.StatusCode.UNIMPLEMENTED, NOT_A_TASK),
        ([("scores", CLASSIFY_METHOD), ("elsewhere", REGRESS_METHOD)], INVALID, OTHER_INPUT),
        ([("regress", CLASSIFY_METHOD)], INVALID, NOT_CLASSIFY),
    ],
)
def test_tasks(odd: Servable, tasks: list[tuple[str, str]], code: grpc.StatusCode, message: str) -> None:
    assert error_of(lambda: run_multi_inference(odd, multi_request(*tasks))) == (code, message)


def test_tasks_of_other_models(odd: Servable) -> None:
    request = multi_request(("scores", CLASSIFY_METHOD), ("regress", REGRESS_METHOD))
    request.tasks[1].model_spec.name = "other"
    expected = "All ModelSpecs in a MultiInferenceRequest must access the same model name."
    assert error_of(lambda: run_multi_inference(odd, request)) == (INVALID, expected)
    request.tasks[1].model_spec.name = ""
    expected = "Found ModelSpec with an empty model name."
    assert error_of(lambda: run_multi_inference(odd, request)) == (INVALID, expected)
