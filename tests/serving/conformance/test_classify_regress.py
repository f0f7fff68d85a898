"""Classify, Regress and MultiInference by gRPC."""

from typing import Any

import grpc
import pytest
from serving_models import labels_of, probability_of
from tensorflow.core.example.example_pb2 import Example
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest
from tensorflow_serving.apis.inference_pb2 import InferenceTask, MultiInferenceRequest
from tensorflow_serving.apis.input_pb2 import ExampleList, ExampleListWithContext, Input
from tensorflow_serving.apis.regression_pb2 import RegressionRequest

from tests.serving.conformance.server import FEATURE, Server, raises, rows

TEXTS = ("a fine film", "a bore")
INVALID = grpc.StatusCode.INVALID_ARGUMENT
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"


@pytest.fixture(scope="module")
def classifier(server: Server) -> Server:
    return _with_signature(server, "classify")


@pytest.fixture(scope="module")
def regressor(server: Server) -> Server:
    return _with_signature(server, "regress")


def _with_signature(server: Server, name: str) -> Server:
    if name not in server.signatures:
        pytest.skip(f"{server.model} has no signature {name}")
    return server


def _example(text: str) -> Example:
    example = Example()
    example.features.feature[FEATURE].bytes_list.value.append(text.encode())
    return example


def _input(*texts: str) -> Input:
    return Input(example_list=ExampleList(examples=[_example(text) for text in texts]))


def _classify(server: Server, given: Input, **spec: Any) -> Any:
    request = ClassificationRequest(model_spec=server.spec(**{"signature_name": "classify", **spec}), input=given)
    return server.predictions.Classify(request)


def _regress(server: Server, given: Input, **spec: Any) -> Any:
    request = RegressionRequest(model_spec=server.spec(**{"signature_name": "regress", **spec}), input=given)
    return server.predictions.Regress(request)


def test_classes_and_scores_of_each_example(classifier: Server) -> None:
    response = _classify(classifier, _input(*TEXTS))
    assert len(response.result.classifications) == len(TEXTS)
    for classification in response.result.classifications:
        assert len({entry.label for entry in classification.classes}) == len(classification.classes) > 1
        assert sum(entry.score for entry in classification.classes) == pytest.approx(1, abs=1e-3)
    spec = response.model_spec
    assert (spec.name, spec.signature_name, spec.version.value) == (classifier.model, "classify", classifier.version)


def test_classes_are_the_models(own_server: Server) -> None:
    (classification,) = _classify(own_server, _input("a fine film")).result.classifications
    probability = probability_of("a fine film")
    assert [entry.label for entry in classification.classes] == list(labels_of(1))
    assert [entry.score for entry in classification.classes] == pytest.approx([1 - probability, probability])


def test_features_of_the_context_belong_to_each_example(classifier: Server) -> None:
    shared = ExampleListWithContext(context=_example("a fine film"), examples=[Example(), Example()])
    response = _classify(classifier, Input(example_list_with_context=shared))
    alone = _classify(classifier, _input("a fine film"))
    for classification in response.result.classifications:
        assert [entry.label for entry in classification.classes] == [
            entry.label for entry in alone.result.classifications[0].classes
        ]


def test_regression_is_the_probability_of_predict(regressor: Server) -> None:
    response = _regress(regressor, _input(*TEXTS))
    values = [regression.value for regression in response.result.regressions]
    assert values == pytest.approx(rows(regressor.predict(regressor.texts(*TEXTS)).outputs["probability"]), abs=1e-3)
    assert response.model_spec.signature_name == "regress"


def test_multi_inference_is_what_the_single_call_is(regressor: Server) -> None:
    classify, regress = _tasks(regressor)
    response = _infer(regressor, [classify])
    assert response.results[0].classification_result == _classify(regressor, _input(*TEXTS)).result
    response = _infer(regressor, [regress])
    assert response.results[0].regression_result == _regress(regressor, _input(*TEXTS)).result
    assert response.results[0].model_spec.version.value == regressor.version


def _infer(server: Server, tasks: list[InferenceTask]) -> Any:
    return server.predictions.MultiInference(MultiInferenceRequest(tasks=tasks, input=_input(*TEXTS)))


def _tasks(server: Server) -> list[InferenceTask]:
    names = {"classify": CLASSIFY, "regress": REGRESS}
    return [
        InferenceTask(model_spec=server.spec(signature_name=name), method_name=method) for name, method in names.items()
    ]


# Errors


def test_a_signature_that_there_is_not(server: Server) -> None:
    expected = (INVALID, "No signature was found with the name: nobody")
    assert raises(lambda: _classify(server, _input("a text"), signature_name="nobody")) == expected
    assert raises(lambda: _regress(server, _input("a text"), signature_name="nobody")) == expected


def test_a_model_that_there_is_not(server: Server) -> None:
    expected = (grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(nobody)")
    assert raises(lambda: _classify(server, _input("a text"), name="nobody")) == expected
    assert raises(lambda: _regress(server, _input("a text"), name="nobody")) == expected


def test_a_signature_of_another_method(regressor: Server) -> None:
    assert raises(lambda: _classify(regressor, _input("a text"), signature_name="regress"))[0] == INVALID
    assert raises(lambda: _regress(regressor, _input("a text"), signature_name="classify"))[0] == INVALID


def test_no_examples(classifier: Server) -> None:
    assert raises(lambda: _classify(classifier, Input()))[0] == INVALID
    assert raises(lambda: _classify(classifier, _input()))[0] == INVALID


def test_an_example_without_the_feature(classifier: Server) -> None:
    code, message = raises(lambda: _classify(classifier, Input(example_list=ExampleList(examples=[Example()]))))
    assert code == INVALID
    assert FEATURE in message


def test_multi_inference_of_signatures_with_inputs_of_their_own(regressor: Server) -> None:
    # TensorFlow 2 gives each signature its own placeholder.
    expected = (INVALID, "Input tensor must be the same for all Signatures.")
    assert raises(lambda: _infer(regressor, _tasks(regressor))) == expected


def test_multi_inference_of_one_signature_twice(regressor: Server) -> None:
    expected = (INVALID, "Duplicate evaluation of signature: classify")
    assert raises(lambda: _infer(regressor, _tasks(regressor)[:1] * 2)) == expected


def test_multi_inference_of_two_models(regressor: Server) -> None:
    first, second = _tasks(regressor)
    second.model_spec.name = "nobody"
    expected = (INVALID, "All ModelSpecs in a MultiInferenceRequest must access the same model name.")
    assert raises(lambda: _infer(regressor, [first, second])) == expected


def test_multi_inference_of_a_method_that_there_is_not(regressor: Server) -> None:
    task = _tasks(regressor)[0]
    task.method_name = "tensorflow/serving/predict"
    expected = (
        grpc.StatusCode.UNIMPLEMENTED,
        "Unsupported signature method_name: tensorflow/serving/predict",
    )
    assert raises(lambda: _infer(regressor, [task])) == expected
