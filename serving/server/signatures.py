"""Requests against a model's signatures: what TF Serving checks, in its words, and its answers as protos.

Everything here is independent of the protocol and of what the model runs on. `run` is how the model is executed: the
servable's own `run` where nothing is given; the server puts its queue, its limits and its clock in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import grpc
import numpy as np
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow.core.framework.types_pb2 import DT_STRING
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef, TensorInfo
from tensorflow_serving.apis.classification_pb2 import (
    ClassificationRequest,
    ClassificationResponse,
    ClassificationResult,
)
from tensorflow_serving.apis.inference_pb2 import InferenceTask, MultiInferenceRequest, MultiInferenceResponse
from tensorflow_serving.apis.input_pb2 import Input
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse
from tensorflow_serving.apis.regression_pb2 import RegressionRequest, RegressionResponse, RegressionResult

from serving.server.errors import ServingError
from serving.server.tensors import dtype_name, fill_proto, shape_text, to_array

if TYPE_CHECKING:
    from serving.server.servable import Servable

DEFAULT_SIGNATURE = "serving_default"
PREDICT_METHOD = "tensorflow/serving/predict"
CLASSIFY_METHOD = "tensorflow/serving/classify"
REGRESS_METHOD = "tensorflow/serving/regress"

# The aliases that classify and regress signatures must have.
EXAMPLES = "inputs"
CLASSES, SCORES = "classes", "scores"
REGRESSIONS = "outputs"

Run = Callable[[str, Mapping[str, np.ndarray], Sequence[str] | None], Mapping[str, np.ndarray]]
"""A signature's name, its inputs and the outputs that are wanted (None for all), to the outputs, all by alias."""


def run_predict(servable: Servable, request: PredictRequest, run: Run | None = None) -> PredictResponse:
    """Runs any signature on tensors.

    Raises:
      ServingError: as TF Serving; and INVALID_ARGUMENT for a shape that the signature does not have, which TF Serving
        leaves to the operations of the model.
    """
    spec = request.model_spec
    name = spec.signature_name or DEFAULT_SIGNATURE
    signature = _signatures(servable).get(name)
    if signature is None:
        raise ServingError(grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
    signature.check_predict_method()
    inputs = signature.arrays(request.inputs)
    wanted = signature.wanted_outputs(request.output_filter) if request.output_filter else None
    outputs = (run or servable.run)(name, inputs, wanted)
    response = PredictResponse()
    _fill_spec(response.model_spec, servable, spec.name, name)
    for alias, array in outputs.items():
        fill_proto(array, response.outputs[alias])
    return response


def run_classify(servable: Servable, request: ClassificationRequest, run: Run | None = None) -> ClassificationResponse:
    """Runs a classify signature on tf.Examples.

    Raises:
      ServingError: as TF Serving.
    """
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    signature = _named(servable, name)
    wanted = signature.classify_outputs()
    examples = signature.examples(request.input)
    outputs = (run or servable.run)(name, {EXAMPLES: examples}, signature.filter_of(wanted))
    response = ClassificationResponse()
    _fill_spec(response.model_spec, servable, request.model_spec.name, name)
    _fill_classifications(response.result, outputs, len(examples))
    return response


def run_regress(servable: Servable, request: RegressionRequest, run: Run | None = None) -> RegressionResponse:
    """Runs a regress signature on tf.Examples.

    Raises:
      ServingError: as TF Serving.
    """
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    signature = _named(servable, name)
    signature.regress_outputs()
    examples = signature.examples(request.input)
    outputs = (run or servable.run)(name, {EXAMPLES: examples}, None)
    response = RegressionResponse()
    _fill_spec(response.model_spec, servable, request.model_spec.name, name)
    _fill_regressions(response.result, outputs[REGRESSIONS], len(examples))
    return response


def run_multi_inference(
    servable: Servable, request: MultiInferenceRequest, run: Run | None = None
) -> MultiInferenceResponse:
    """Runs several classify and regress signatures on the same tf.Examples, one after the other.

    As in TF Serving the signatures must read the same input tensor, which signatures that `tf.saved_model.save` made
    never do, unlike those of a TF1 export.

    Raises:
      ServingError: as TF Serving.
    """
    tasks = _checked_tasks(servable, request.tasks)
    response = MultiInferenceResponse()
    if not tasks:
        return response
    examples = tasks[0][1].examples(request.input)
    for task, signature, wanted in tasks:
        outputs = (run or servable.run)(signature.name, {EXAMPLES: examples}, signature.filter_of(wanted))
        result = response.results.add()
        _fill_spec(result.model_spec, servable, task.model_spec.name, signature.name)
        if task.method_name == CLASSIFY_METHOD:
            _fill_classifications(result.classification_result, outputs, len(examples))
        else:
            _fill_regressions(result.regression_result, outputs[REGRESSIONS], len(examples))
    return response


class _InputSpec:
    """What one input of a signature must be.

    Attributes:
      dtype: a DataType.
      shape: with -1 for sizes that are free; None where any rank will do.
      argument: its place among the inputs in the order of the graph's names, as TensorFlow's messages count them.
    """

    def __init__(self, alias: str, info: TensorInfo, argument: int):
        self.alias = alias
        self.dtype = info.dtype
        self.shape = None if info.tensor_shape.unknown_rank else tuple(dim.size for dim in info.tensor_shape.dim)
        self.argument = argument

    def array(self, proto: TensorProto) -> np.ndarray:
        try:
            array = to_array(proto)
        except ServingError as error:
            raise _invalid(f"tensor parsing error: {self.alias} ({error.message})") from error
        if proto.dtype != self.dtype:
            raise _invalid(
                f"Expects arg[{self.argument}] to be {dtype_name(self.dtype)} but {dtype_name(proto.dtype)} is provided"
            )
        self.check_shape(array.shape)
        return array

    def check_shape(self, shape: tuple[int, ...]) -> None:
        expected = self.shape
        if expected is None or (len(shape) == 1 and expected == (-1,)):
            return
        if len(shape) != len(expected) or any(
            want not in (-1, size) for want, size in zip(expected, shape, strict=True)
        ):
            raise _invalid(f'Input "{self.alias}" must have shape {shape_text(expected)}, but got {shape_text(shape)}')


class _Signature:
    """A signature with what is checked at each request laid out beforehand."""

    def __init__(self, name: str, definition: SignatureDef):
        self.name = name
        self.definition = definition
        self.method = definition.method_name
        order = sorted(definition.inputs, key=lambda alias: definition.inputs[alias].name)
        self.inputs = {
            alias: _InputSpec(alias, definition.inputs[alias], order.index(alias))
            for alias in sorted(definition.inputs)
        }
        self.outputs = sorted(definition.outputs)
        self.defaults = dict(definition.defaults)

    # Predict

    def check_predict_method(self) -> None:
        if self.method not in (PREDICT_METHOD, CLASSIFY_METHOD, REGRESS_METHOD):
            raise ServingError(
                grpc.StatusCode.INTERNAL,
                "Expected prediction signature method_name to be one of "
                f"{{{PREDICT_METHOD}, {CLASSIFY_METHOD}, {REGRESS_METHOD}}}. Was: {self.method}",
            )

    def arrays(self, given: Mapping[str, TensorProto]) -> dict[str, np.ndarray]:
        """The inputs by alias, defaults of the signature filled in."""
        if len(given) > len(self.inputs) or (len(given) < len(self.inputs) and not self.defaults):
            raise self._wrong_inputs(given)
        arrays = {}
        used = 0
        for alias, spec in self.inputs.items():
            # A look-up in the map would make an entry for what is not there.
            if alias in given:
                arrays[alias] = spec.array(given[alias])
                used += 1
            elif alias in self.defaults:
                arrays[alias] = spec.array(self.defaults[alias])
            else:
                raise self._missing_input(alias, given)
        if used != len(given):
            raise _invalid(
                f"Inputs contains invalid name. Used request inputs: {_joined(set(given) & set(self.inputs))}, "
                f"request input: {_joined(given)}"
            )
        return arrays

    def wanted_outputs(self, aliases: Sequence[str]) -> list[str]:
        wanted: list[str] = []
        for alias in aliases:
            if alias not in self.outputs:
                raise _invalid(
                    f"output tensor alias not found in signature: {alias} "
                    f"Outputs expected to be in the set {{{_joined(self.outputs)}}}."
                )
            if alias in wanted:
                raise _invalid(f"duplicate output tensor alias: {alias}")
            wanted.append(alias)
        return wanted

    def filter_of(self, wanted: list[str]) -> list[str] | None:
        return None if len(wanted) == len(self.outputs) else wanted

    def _wrong_inputs(self, given: Mapping[str, TensorProto]) -> ServingError:
        sent, expected = set(given), set(self.inputs)
        return _invalid(
            f"input size does not match signature: {len(sent)}!={len(expected)} "
            f"len({{{_joined(sent)}}}) != len({{{_joined(expected)}}}). "
            f"Sent extra: {{{_joined(sent - expected)}}}. Missing but required: {{{_joined(expected - sent)}}}."
        )

    def _missing_input(self, alias: str, given: Mapping[str, TensorProto]) -> ServingError:
        return _invalid(
            f"Signature input alias: {alias}(feed name: {self.definition.inputs[alias].name}) not found in request and "
            f"no default value provided. Inputs expected to be in the request {{{_joined(given)}}}, "
            f"or default input alias set: {_joined(self.defaults)}"
        )

    # Classify, Regress and MultiInference

    def classify_outputs(self) -> list[str]:
        """The outputs of a classify signature: classes, scores or both."""
        self._check_method(CLASSIFY_METHOD, "classification")
        self._check_one_input()
        if len(self.outputs) not in (1, 2):
            raise _invalid(f"Expected one or two output Tensors, found {len(self.outputs)}")
        self._check_examples("classification")
        wanted = [alias for alias in (CLASSES, SCORES) if alias in self.outputs]
        if not wanted:
            raise _precondition(
                "Expected classification signature outputs to contain at least one of "
                f'"{CLASSES}" or "{SCORES}". Signature was: {self.definition}'
            )
        return wanted

    def regress_outputs(self) -> list[str]:
        """The one output of a regress signature."""
        self._check_method(REGRESS_METHOD, "regression")
        self._check_one_input()
        if len(self.outputs) != 1:
            raise _invalid("Expected one output Tensor.")
        self._check_examples("regression")
        if self.outputs != [REGRESSIONS]:
            raise _precondition(f"No regression outputs found in SignatureDef: {self.definition}")
        return self.outputs

    def examples(self, given: Input) -> np.ndarray:
        """Serialized tf.Examples, object [batch] of bytes."""
        kind = given.WhichOneof("kind")
        serialized: list[bytes] = []
        if kind == "example_list":
            serialized = [example.SerializeToString() for example in given.example_list.examples]
        elif kind == "example_list_with_context":
            # Two serialized messages one after the other are the serialized form of both merged.
            context = given.example_list_with_context.context.SerializeToString()
            messages = given.example_list_with_context.examples
            serialized = [context + example.SerializeToString() for example in messages]
        if not serialized:
            raise _invalid("Input is empty.")
        spec = self.inputs[EXAMPLES]
        if spec.dtype != DT_STRING:
            raise _invalid(f"Expects arg[0] to be {dtype_name(spec.dtype)} but string is provided")
        spec.check_shape((len(serialized),))
        array = np.empty(len(serialized), object)
        array[:] = serialized
        return array

    def input_tensor(self) -> str:
        return self.definition.inputs[EXAMPLES].name

    def _check_method(self, expected: str, kind: str) -> None:
        if self.method != expected:
            raise _invalid(f"Expected {kind} signature method_name to be {expected}. Was: {self.method}")

    def _check_one_input(self) -> None:
        if len(self.inputs) != 1:
            raise _invalid("Expected one input Tensor.")

    def _check_examples(self, kind: str) -> None:
        if EXAMPLES not in self.inputs:
            raise _precondition(f"No {kind} inputs found in SignatureDef: {self.definition}")


_KNOWN: WeakKeyDictionary[Servable, dict[str, _Signature]] = WeakKeyDictionary()


def _signatures(servable: Servable) -> dict[str, _Signature]:
    """A servable's signatures, laid out at its first request and forgotten with it."""
    known = _KNOWN.get(servable)
    if known is None:
        known = {name: _Signature(name, definition) for name, definition in servable.signatures.items()}
        _KNOWN[servable] = known
    return known


def _named(servable: Servable, name: str) -> _Signature:
    signature = _signatures(servable).get(name)
    if signature is None:
        raise _invalid(f"No signature was found with the name: {name}")
    return signature


def _checked_tasks(
    servable: Servable, tasks: Iterable[InferenceTask]
) -> list[tuple[InferenceTask, _Signature, list[str]]]:
    """Each task with its signature and outputs; an error in any keeps all from being run."""
    checked: list[tuple[InferenceTask, _Signature, list[str]]] = []
    for task in tasks:
        spec = task.model_spec
        if not spec.name:
            raise _invalid("Found ModelSpec with an empty model name.")
        if checked and spec.name != checked[0][0].model_spec.name:
            raise _invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        name = spec.signature_name or DEFAULT_SIGNATURE
        if any(name == other.name for _, other, _ in checked):
            raise _invalid(f"Duplicate evaluation of signature: {name}")
        signature = _signatures(servable).get(name)
        if signature is None:
            raise _invalid(f"Requested signature not found in model graph: {name}")
        if task.method_name == CLASSIFY_METHOD:
            wanted = signature.classify_outputs()
        elif task.method_name == REGRESS_METHOD:
            wanted = signature.regress_outputs()
        else:
            raise ServingError(grpc.StatusCode.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")
        if checked and signature.input_tensor() != checked[0][1].input_tensor():
            raise _invalid("Input tensor must be the same for all Signatures.")
        checked.append((task, signature, wanted))
    return checked


def _fill_spec(spec: ModelSpec, servable: Servable, name: str, signature: str) -> None:
    spec.name = name
    spec.signature_name = signature
    spec.version.value = servable.version


def _fill_classifications(result: ClassificationResult, outputs: Mapping[str, np.ndarray], rows: int) -> None:
    """classes object [rows, n] of bytes and scores float32 [rows, n], one of which may be missing."""
    for alias, dtype, name in ((CLASSES, object, "STRING"), (SCORES, np.float32, "FLOAT")):
        if alias not in outputs:
            continue
        output = np.asarray(outputs[alias])
        if output.ndim != 2:
            raise _invalid(f"Expected Tensor shape: [batch_size num_classes] but got {shape_text(output.shape)}")
        if output.dtype != dtype:
            raise _invalid(f"Expected {alias} Tensor of DT_{name}. Got: {_output_dtype(output)}")
        if len(output) != rows:
            raise _invalid(f"Expected {alias} output batch size of {rows}. Got: {len(output)}")
    classes, scores = outputs.get(CLASSES), outputs.get(SCORES)
    if classes is not None and scores is not None and classes.shape != scores.shape:
        raise _invalid(
            f"Tensors class and score should match in dim_size(1). Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    for row in range(rows):
        added = result.classifications.add().classes
        labels = [] if classes is None else [label.decode(errors="replace") for label in classes[row].tolist()]
        numbers = [] if scores is None else scores[row].tolist()
        for index in range(max(len(labels), len(numbers))):
            entry = added.add()
            if labels:
                entry.label = labels[index]
            if numbers:
                entry.score = numbers[index]


def _fill_regressions(result: RegressionResult, output: np.ndarray, rows: int) -> None:
    """output float32 [rows] or [rows, 1]."""
    output = np.asarray(output)
    if output.ndim != 1 and output.shape[1:] != (1,):
        raise _invalid(
            "Expected output Tensor shape to be either [batch_size] or "
            f"[batch_size, 1] but got {shape_text(output.shape)}"
        )
    if len(output) != rows:
        raise _invalid(f"Input batch size did not match output batch size: {rows} vs. {len(output)}")
    if output.dtype != np.float32:
        raise _invalid(f"Expected output Tensor of DT_FLOAT.  Got: {_output_dtype(output)}")
    for value in output.ravel().tolist():
        result.regressions.add().value = value


def _output_dtype(output: np.ndarray) -> str:
    proto = TensorProto()
    fill_proto(output[:0], proto)
    return f"DT_{dtype_name(proto.dtype).upper()}"


def _joined(names: Iterable[str]) -> str:
    return ",".join(sorted(names))


def _invalid(message: str) -> ServingError:
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)


def _precondition(message: str) -> ServingError:
    return ServingError(grpc.StatusCode.FAILED_PRECONDITION, message)
