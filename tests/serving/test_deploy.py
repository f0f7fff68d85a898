"""The deployment's files: each is what its reader takes, and they agree with each other and with the servers."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from google.protobuf.message import Message
from kubernetes.client import ApiClient
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from serving.server.config_protos import BatchingParameters, MonitoringConfig, check_batching, read_text_proto
from serving.server.metrics import ServerMetrics
from serving.server.options import parse_options

DEPLOY = Path(__file__).parents[2] / "serving" / "deploy"
CONFIG = DEPLOY / "config"
BASE = DEPLOY / "kubernetes" / "base"
EMBEDDED = DEPLOY / "kubernetes" / "embedded"

Yaml = dict[str, Any]

# kind: model of the Kubernetes client (API 1.26).
KINDS = {
    "Deployment": "V1Deployment",
    "Service": "V1Service",
    "HorizontalPodAutoscaler": "V2HorizontalPodAutoscaler",
    "PodDisruptionBudget": "V1PodDisruptionBudget",
    "PersistentVolumeClaim": "V1PersistentVolumeClaim",
    "ConfigMap": "V1ConfigMap",
}
API_VERSIONS = {
    "Deployment": "apps/v1",
    "Service": "v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "PodDisruptionBudget": "policy/v1",
    "PersistentVolumeClaim": "v1",
    "ConfigMap": "v1",
}

# What Prometheus adds to each series.
SCRAPE_LABELS = {"instance", "job"}


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _text_proto(name: str, message: Message) -> Any:
    return read_text_proto(CONFIG / name, message)


@pytest.fixture(scope="module")
def models() -> Any:
    return _text_proto("models.config", ModelServerConfig())


@pytest.fixture(scope="module")
def compose() -> Yaml:
    return _read(DEPLOY / "docker-compose.yml")


@pytest.fixture(scope="module")
def manifests() -> list[Yaml]:
    """Every object of the base's files, as they stand."""
    files = [BASE / name for name in _read(BASE / "kustomization.yaml")["resources"] if name.endswith(".yaml")]
    return [document for file in files for document in yaml.safe_load_all(file.read_text(encoding="utf-8"))]


@pytest.fixture(scope="module")
def dashboard() -> Yaml:
    return json.loads((DEPLOY / "grafana" / "dashboard.json").read_text(encoding="utf-8"))


def _of_kind(manifests: list[Yaml], kind: str) -> list[Yaml]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def _deployment(manifests: list[Yaml]) -> Yaml:
    return _of_kind(manifests, "Deployment")[0]


def _container(manifests: list[Yaml]) -> Yaml:
    return _deployment(manifests)["spec"]["template"]["spec"]["containers"][0]


# The servers' configuration


def test_models_are_one_block_each_in_folders_of_their_own(models: Any) -> None:
    configs = models.model_config_list.config
    assert [config.name for config in configs] == ["reviews"]
    for config in configs:
        assert config.base_path == f"/models/{config.name}"
        assert config.model_platform == "tensorflow"
        assert config.model_version_policy.WhichOneof("policy_choice") == "latest"


def test_batching_is_what_tf_serving_starts_with() -> None:
    batching = _text_proto("batching.config", BatchingParameters())
    check_batching(batching, "batching.config")
    assert batching.allowed_batch_sizes[-1] == batching.max_batch_size.value


def test_prometheus_scrapes_where_the_metrics_are(compose: Yaml) -> None:
    monitoring = _text_proto("monitoring.config", MonitoringConfig())
    assert monitoring.prometheus_config.enable
    (job,) = _read(DEPLOY / "prometheus" / "prometheus.yml")["scrape_configs"]
    assert job["metrics_path"] == monitoring.prometheus_config.path
    (target,) = job["static_configs"][0]["targets"]
    host, port = target.split(":")
    assert host in compose["services"]
    assert port == "8501"


# Compose


@pytest.mark.parametrize("name", ["docker-compose.yml", "docker-compose.embedded.yml"])
def test_compose_has_only_keys_of_the_compose_specification(name: str) -> None:
    file = _read(DEPLOY / name)
    assert file.keys() <= {"name", "services", "volumes"}
    for service in file["services"].values():
        known = {"image", "build", "command", "entrypoint", "ports", "volumes", "healthcheck", "restart"}
        assert service.keys() <= known | {"depends_on", "environment"}
        assert "image" in service
        assert service.get("healthcheck", {}).keys() <= {"test", "interval", "timeout", "retries", "start_period"}
        assert all(isinstance(value, str) for value in service.get("environment", {}).values())
        assert service.get("restart", "no") in {"no", "always", "on-failure", "unless-stopped"}


def test_compose_images_are_pinned(compose: Yaml) -> None:
    for service in compose["services"].values():
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]), service["image"]


def test_compose_mounts_what_there_is(compose: Yaml) -> None:
    for service in compose["services"].values():
        for mount in service.get("volumes", []):
            source, target = re.fullmatch(r"(\$\{[^}]*\}|[^:]+):(/[^:]*)(?::ro)?", mount).groups()
            if source.startswith("./"):
                assert (DEPLOY / source).exists(), source
            elif not source.startswith("$"):
                assert source in compose["volumes"]
            assert target.startswith("/")


def test_compose_ports_are_this_machines_alone(compose: Yaml) -> None:
    for service in compose["services"].values():
        for port in service["ports"]:
            assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port), port


def test_compose_depends_on_its_own_services(compose: Yaml) -> None:
    for service in compose["services"].values():
        assert set(service.get("depends_on", [])) <= compose["services"].keys()


def test_the_embedded_server_takes_tf_servings_place_and_flags(compose: Yaml) -> None:
    embedded = _read(DEPLOY / "docker-compose.embedded.yml")["services"]["model-server"]
    assert "model-server" in compose["services"]
    assert "command" not in embedded
    assert embedded["entrypoint"][:2] == ["tfx-bert", "serve"]
    assert (DEPLOY / embedded["build"]["context"] / "Dockerfile").is_file()


def test_compose_checks_a_configured_models_metadata(compose: Yaml, models: Any) -> None:
    script = compose["services"]["model-server"]["healthcheck"]["test"][-1]
    assert f"/v1/models/{models.model_config_list.config[0].name}/metadata" in script
    assert subprocess.run(["bash", "-n", "-c", script], check=False).returncode == 0


def test_flags_name_files_of_the_configuration(compose: Yaml, manifests: list[Yaml]) -> None:
    commands = [compose["services"]["model-server"]["command"], _container(manifests)["args"]]
    for command in commands:
        flags = dict(flag.removeprefix("--").split("=", 1) for flag in command)
        for name in ("model_config_file", "monitoring_config_file"):
            path = Path(flags[name])
            assert path.parent == Path("/config")
            assert (CONFIG / path.name).is_file()


def test_the_embedded_server_takes_every_flag(compose: Yaml, manifests: list[Yaml]) -> None:
    embedded = _read(DEPLOY / "docker-compose.embedded.yml")["services"]["model-server"]["entrypoint"][2:]
    for command in (compose["services"]["model-server"]["command"], _container(manifests)["args"]):
        options = parse_options([*embedded, *command])
        assert (options.host, options.port, options.rest_api_port) == ("0.0.0.0", 8500, 8501)
        assert options.session_threads == 1


# Kubernetes


def test_manifests_are_the_kubernetes_apis(manifests: list[Yaml]) -> None:
    assert {manifest["kind"] for manifest in manifests} == KINDS.keys() - {"ConfigMap"}
    for manifest in manifests:
        assert manifest["apiVersion"] == API_VERSIONS[manifest["kind"]]
        _check_object(manifest)


def _check_object(manifest: Yaml) -> None:
    """Reads a manifest with the Kubernetes client and says which of its fields the API does not know."""
    answer = type("Answer", (), {"data": json.dumps(manifest)})
    read = ApiClient().deserialize(answer, KINDS[manifest["kind"]])  # Wrong values and missing fields raise here.
    known = ApiClient().sanitize_for_serialization(read)
    assert _strings(known) == _strings(manifest)


def _strings(value: Any) -> Any:
    """The same with every scalar as text: quantities and ports may be numbers or strings."""
    if isinstance(value, dict):
        return {key: _strings(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_strings(item) for item in value]
    return str(value)


def test_a_misspelt_field_is_found(manifests: list[Yaml]) -> None:
    wrong = json.loads(json.dumps(_deployment(manifests)))
    wrong["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(AssertionError):
        _check_object(wrong)


def test_selectors_find_the_pods(manifests: list[Yaml]) -> None:
    labels = _deployment(manifests)["spec"]["template"]["metadata"]["labels"].items()
    (budget,) = _of_kind(manifests, "PodDisruptionBudget")
    spread = _deployment(manifests)["spec"]["template"]["spec"]["topologySpreadConstraints"][0]
    for selector in (
        _deployment(manifests)["spec"]["selector"]["matchLabels"],
        budget["spec"]["selector"]["matchLabels"],
        spread["labelSelector"]["matchLabels"],
        *(service["spec"]["selector"] for service in _of_kind(manifests, "Service")),
    ):
        assert selector
        assert selector.items() <= labels


def test_services_and_probes_use_the_containers_ports(manifests: list[Yaml]) -> None:
    container = _container(manifests)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    flags = dict(flag.removeprefix("--").split("=", 1) for flag in container["args"])
    assert ports == {"grpc": int(flags["port"]), "rest": int(flags["rest_api_port"])}
    for service in _of_kind(manifests, "Service"):
        for port in service["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"]
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = container[name]
        action = probe.get("httpGet") or probe["tcpSocket"]
        assert action["port"] in ports


def test_probes_ask_for_a_configured_model(manifests: list[Yaml], models: Any) -> None:
    names = {config.name for config in models.model_config_list.config}
    for name in ("startupProbe", "readinessProbe"):
        path = _container(manifests)[name]["httpGet"]["path"]
        model = re.fullmatch(r"/v1/models/([^/]+)/metadata", path)
        assert model
        assert model[1] in names


def test_a_pod_ends_after_its_last_request(manifests: list[Yaml]) -> None:
    pause = int(_container(manifests)["lifecycle"]["preStop"]["exec"]["command"][1])
    grace = _deployment(manifests)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert pause + 30 <= grace  # 30 s: the default of --rest_api_timeout_in_ms


def test_autoscaler_scales_the_deployment_on_what_pods_request(manifests: list[Yaml]) -> None:
    (scaler,) = _of_kind(manifests, "HorizontalPodAutoscaler")
    assert scaler["spec"]["scaleTargetRef"]["name"] == _deployment(manifests)["metadata"]["name"]
    assert "replicas" not in _deployment(manifests)["spec"]
    for metric in scaler["spec"]["metrics"]:
        assert metric["resource"]["name"] in _container(manifests)["resources"]["requests"]
    (budget,) = _of_kind(manifests, "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] < scaler["spec"]["minReplicas"]


def test_mounts_are_volumes_that_there_are(manifests: list[Yaml], models: Any) -> None:
    volumes = {volume["name"]: volume for volume in _deployment(manifests)["spec"]["template"]["spec"]["volumes"]}
    mounts = {mount["mountPath"]: mount["name"] for mount in _container(manifests)["volumeMounts"]}
    assert set(mounts.values()) == volumes.keys()
    (claim,) = _of_kind(manifests, "PersistentVolumeClaim")
    assert volumes[mounts["/models"]]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    (generator,) = _read(CONFIG / "kustomization.yaml")["configMapGenerator"]
    assert volumes[mounts["/config"]]["configMap"]["name"] == generator["name"]
    assert all(config.base_path.startswith("/models/") for config in models.model_config_list.config)


def test_config_map_holds_every_file_of_the_configuration() -> None:
    (generator,) = _read(CONFIG / "kustomization.yaml")["configMapGenerator"]
    assert sorted(generator["files"]) == sorted(path.name for path in CONFIG.glob("*.config"))


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not there")
@pytest.mark.parametrize("folder", [BASE, EMBEDDED], ids=["base", "embedded"])
def test_kustomize_builds_it(folder: Path) -> None:
    built = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=True).stdout
    objects = list(yaml.safe_load_all(built))
    for built_object in objects:
        _check_object(built_object)
    (config_map,) = _of_kind(objects, "ConfigMap")
    volumes = _deployment(objects)["spec"]["template"]["spec"]["volumes"]
    assert config_map["metadata"]["name"] in [volume.get("configMap", {}).get("name") for volume in volumes]
    container = _container(objects)
    embedded = folder == EMBEDDED
    assert (container["command"][:2] == ["tfx-bert", "serve"]) is embedded
    assert ("grpc" in container["readinessProbe"]) is embedded
    assert container["image"].startswith("tensorflow/serving:") is not embedded


# Grafana


def test_dashboard_is_laid_out_without_overlaps(dashboard: Yaml) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken
        taken |= cells
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_dashboard_shows_what_matters(dashboard: Yaml) -> None:
    by_title = {panel["title"]: [target["expr"] for target in panel["targets"]] for panel in dashboard["panels"]}
    assert by_title.keys() >= {"Requests", "Errors", "Latency", "Model execution", "Queue depth"}
    assert [re.match(r"histogram_quantile\(([\d.]+),", query)[1] for query in by_title["Latency"]] == [
        "0.5",
        "0.95",
        "0.99",
    ]
    assert 'status!="OK"' in by_title["Errors"][0]


def test_dashboard_queries_are_of_metrics_and_labels_that_there_are(
    dashboard: Yaml, series: dict[str, set[str]]
) -> None:
    for query in _queries(dashboard):
        assert all(query.count(left) == query.count(right) for left, right in ("()", "{}", "[]"))
        names = re.findall(r":[a-z_]+:serving:[a-z_]+", query)
        assert names
        used = set(re.findall(r"(\w+)\s*(?:=~|!=|!~|=)\s*\"", query)) | _grouped_by(query)
        for name in names:
            assert name in series
            assert used <= series[name] | SCRAPE_LABELS, query


@pytest.fixture(scope="module")
def series() -> dict[str, set[str]]:
    """The labels of every series that the embedded server shows, which has TF Serving's metrics under their names."""
    metrics = ServerMetrics()
    metrics.request("m", "Predict", "REST", grpc.StatusCode.OK, 0.1, 0.1, 1)
    lines = [line for line in metrics.text().decode().splitlines() if not line.startswith("#")]
    labels = {line.partition("{")[0]: set(re.findall(r'(\w+)="', line)) for line in lines}
    assert labels[":tensorflow:serving:request_latency_bucket"] == {"model_name", "API", "entrypoint", "le"}
    return labels


def test_dashboard_model_variable_lists_the_counted_models(dashboard: Yaml, series: dict[str, set[str]]) -> None:
    variable = next(v for v in dashboard["templating"]["list"] if v["name"] == "model")
    name, label = re.fullmatch(r"label_values\(([^,]+), (\w+)\)", variable["query"]["query"]).groups()
    assert label in series[name]


def test_dashboard_legends_show_labels_that_the_query_keeps(dashboard: Yaml) -> None:
    for target in (target for panel in dashboard["panels"] for target in panel["targets"]):
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= _grouped_by(target["expr"]), target


def _grouped_by(query: str) -> set[str]:
    return {label.strip() for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(",")}


def _queries(dashboard: Yaml) -> list[str]:
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def test_dashboard_variables_are_declared(dashboard: Yaml) -> None:
    declared = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert declared == {"datasource", "model"}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard)))
    assert used <= declared | {"__rate_interval", "__all"}


def test_grafana_is_provisioned_with_the_dashboard_and_its_source(dashboard: Yaml, compose: Yaml) -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = _read(provisioning / "datasources" / "prometheus.yaml")["datasources"]
    assert source["type"] == "prometheus"
    assert source["url"] == "http://prometheus:9090"
    chosen = next(v for v in dashboard["templating"]["list"] if v["name"] == "datasource")
    assert chosen["current"]["value"] == source["uid"]
    (provider,) = _read(provisioning / "dashboards" / "dashboards.yaml")["providers"]
    path = provider["options"]["path"]
    assert f"./grafana/dashboard.json:{path}/dashboard.json:ro" in compose["services"]["grafana"]["volumes"]
    home = compose["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{path}/dashboard.json"
