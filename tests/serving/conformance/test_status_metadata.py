"""GetModelStatus and GetModelMetadata by gRPC, and the services beyond TF Serving's own."""

import subprocess
from pathlib import Path

import grpc
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest

from tests.serving.conformance.server import Server, State, raises

DEPLOY = Path(__file__).parents[3] / "serving" / "deploy"


def test_status_of_each_version(server: Server) -> None:
    response = server.management.GetModelStatus(GetModelStatusRequest(model_spec=server.spec()))
    (status,) = [status for status in response.model_version_status if status.version == server.version]
    assert status.state == State.AVAILABLE
    assert (status.status.error_code, status.status.error_message) == (0, "")


def test_status_of_one_version(server: Server) -> None:
    request = GetModelStatusRequest(model_spec=server.spec(version=server.version))
    (status,) = server.management.GetModelStatus(request).model_version_status
    assert status.version == server.version


def test_status_of_what_there_is_not(server: Server) -> None:
    nobody = GetModelStatusRequest(model_spec=server.spec(name="nobody"))
    assert raises(lambda: server.management.GetModelStatus(nobody)) == (
        grpc.StatusCode.NOT_FOUND,
        "Could not find any versions of model nobody",
    )
    never = GetModelStatusRequest(model_spec=server.spec(version=98765))
    assert raises(lambda: server.management.GetModelStatus(never)) == (
        grpc.StatusCode.NOT_FOUND,
        f"Could not find version 98765 of model {server.model}",
    )
    assert raises(lambda: server.management.GetModelStatus(GetModelStatusRequest())) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Missing ModelSpec",
    )


def test_metadata_are_the_signatures(server: Server) -> None:
    assert server.signatures.keys() >= {"serving_default", "__saved_model_init_op"}
    signature = server.signatures["serving_default"]
    assert signature.method_name == "tensorflow/serving/predict"
    assert all(info.dtype == types_pb2.DT_STRING for info in signature.inputs.values())
    assert signature.outputs


def test_metadata_say_whose_they_are(server: Server) -> None:
    request = GetModelMetadataRequest(model_spec=server.spec(), metadata_field=["signature_def"])
    response = server.predictions.GetModelMetadata(request)
    assert list(response.metadata) == ["signature_def"]
    assert response.model_spec.name == server.model
    assert response.model_spec.version.value == server.version
    assert response.model_spec.signature_name == ""


@pytest.mark.parametrize("fields", [[], ["assets"], ["signature_def", "assets"]], ids=["none", "other", "one too many"])
def test_metadata_are_of_one_field_only(server: Server, fields: list[str]) -> None:
    request = GetModelMetadataRequest(model_spec=server.spec(), metadata_field=fields)
    assert raises(lambda: server.predictions.GetModelMetadata(request))[0] == grpc.StatusCode.INVALID_ARGUMENT


def test_metadata_of_what_there_is_not(server: Server) -> None:
    request = GetModelMetadataRequest(model_spec=server.spec(name="nobody"), metadata_field=["signature_def"])
    assert raises(lambda: server.predictions.GetModelMetadata(request)) == (
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Latest(nobody)",
    )


@pytest.mark.parametrize("healthy", [True, False], ids=["available", "unknown"])
def test_the_containers_health_check_asks_for_the_model(server: Server, healthy: bool) -> None:
    compose = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text(encoding="utf-8"))
    _, *command = compose["services"]["model-server"]["healthcheck"]["test"]
    model = server.model if healthy else "nobody"
    address = f"/dev/tcp/{server.host}/{server.rest_port}"
    command[-1] = command[-1].replace("/dev/tcp/127.0.0.1/8501", address).replace("/reviews/", f"/{model}/")
    assert (subprocess.run(command, check=False, timeout=60).returncode == 0) is healthy


@pytest.mark.parametrize("service", ["", "tensorflow.serving.PredictionService"])
def test_health_is_serving(own_server: Server, service: str) -> None:
    stub = health_pb2_grpc.HealthStub(own_server.channel)
    response = stub.Check(health_pb2.HealthCheckRequest(service=service))
    assert response.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_lists_the_services(own_server: Server) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(own_server.channel)
    requests = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    (response,) = stub.ServerReflectionInfo(requests)
    names = {service.name for service in response.list_services_response.service}
    assert names >= {"tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"}
