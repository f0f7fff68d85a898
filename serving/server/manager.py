"""The models that a server has: versions appear in folders, are loaded beside the old ones, serve, and go.

What is served when, and what is said of it, follows TF Serving: its version policies, its availability-preserving
order of loading and unloading, its states and messages.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusResponse, ModelVersionStatus
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig, ModelServerConfig

from serving.server.errors import ServingError
from serving.server.servable import EngineOptions, Servable, load_error, truncated

PLATFORM = "tensorflow"
MAX_VERSION = 2**63 - 1
IDLE_SECONDS = 3600.0
TENSORFLOW_MODEL_TYPE = 1
START, LOADING, AVAILABLE, UNLOADING, END = "START", "LOADING", "AVAILABLE", "UNLOADING", "END"

StateHook = Callable[[str, int, str, str], None]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ManagerOptions:
    """How folders are watched and versions loaded.

    Attributes:
      poll_seconds: between two looks at the folders; 0 looks once, and once more at each reload.
      max_load_retries: tries after a failed one, `retry_seconds` apart.
      load_threads: versions that are loaded at a time.
      servable_versions_always_present: a model must have a version from the start on, and its last one is not unloaded
        when its folder is empty.
      allow_version_labels_for_unavailable_models: a label that is new may name a version that does not serve (yet).
    """

    poll_seconds: float = 1
    max_load_retries: int = 5
    retry_seconds: float = 60
    load_threads: int = 1
    servable_versions_always_present: bool = False
    allow_version_labels_for_unavailable_models: bool = False
    engine: EngineOptions = field(default_factory=EngineOptions)


@dataclass(eq=False)
class _Version:
    """A version that is managed, from START to END. `users` counts the requests that hold it."""

    name: str
    number: int
    folder: Path
    state: str = START
    error: ServingError | None = None
    servable: Servable | None = None
    users: int = 0
    tries: int = 0
    retry_at: float | None = None


@dataclass(eq=False)
class _Model:
    """A model of the configuration.

    `aspired` are the folders of the versions that should serve, by number; None until they were looked for.
    `configured` is false once it is in the configuration no more, while its versions go.
    """

    config: ModelConfig
    configured: bool = True
    aspired: dict[int, Path] | None = None
    versions: dict[int, _Version] = field(default_factory=dict)
    poll_problem: str = ""

    def available(self) -> list[_Version]:
        return [version for version in self.versions.values() if version.state == AVAILABLE]


class ModelManager:
    """The configured models. All methods may be called from any thread.

    A thread of its own watches the folders, closes what nobody uses any more and tells `on_state`; each load has one.
    """

    def __init__(self, config: ModelServerConfig, options: ManagerOptions, on_state: StateHook | None = None):
        """
        Args:
          on_state: told model, version, state and, where there is one, the error of each change, in order.

        Raises:
          ServingError: where the configuration is wrong.
        """
        _validate(config)
        self.options = options
        self.on_state = on_state
        self._config = config
        self._changed = threading.Condition(threading.Lock())
        self._reloading = threading.Lock()
        self._models: dict[str, _Model] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._status: dict[str, dict[int, tuple[str, ServingError | None]]] = {}
        self._events: deque[tuple[str, int, str, str]] = deque()
        self._loads = 0
        self._polled_at: float | None = None
        self._started = False
        self._stopping = False
        self._thread = threading.Thread(target=self._manage, name="model-manager", daemon=True)

    # Life

    def start(self, timeout_s: float | None = None) -> None:
        """Begins to serve and waits until each model has an available version.

        Versions that are not there yet are waited for, unless the folders are looked at only once.

        Raises:
          ServingError: UNKNOWN with the models that failed to load, DEADLINE_EXCEEDED with those that are still not
            there after `timeout_s`, and what is wrong with labels and folders. The manager is to be stopped then.
        """
        self._require_versions(self._config)
        with self._changed:
            self._apply(self._config)
            self._started = True
        self._thread.start()
        self._await(list(self._models), timeout_s, wait_for_versions=self.options.poll_seconds > 0)

    def stop(self, timeout_s: float = 30) -> None:
        """Unloads everything once the requests that use it have ended, or `timeout_s` have passed."""
        with self._changed:
            if self._stopping:
                return
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def reload(self, config: ModelServerConfig, timeout_s: float | None = None) -> None:
        """Replaces the whole set of models, and waits until those that are new serve.

        Models that are in both sets keep their versions, those that are not in the new one are unloaded.

        Raises:
          ServingError: what is wrong with the configuration, which is not applied then; or, the configuration applied,
            UNKNOWN with the new models that did not become available, DEADLINE_EXCEEDED after `timeout_s`.
        """
        with self._reloading:
            if config.WhichOneof("config") is None:
                return
            _validate(config)
            self._require_versions(config)
            with self._changed:
                new = {model.name for model in config.model_config_list.config} - set(self.models())
                self._apply(config)
                self._changed.notify_all()
            self._await(sorted(new), timeout_s, wait_for_versions=False)

    # Requests

    @contextmanager
    def servable(self, spec: ModelSpec) -> Iterator[Servable]:
        """The version that a request asks for; it is not unloaded before the context ends.

        Raises:
          ServingError: where the model, the version or the label is not there.
        """
        with self._changed:
            version = self._find(spec)
            version.users += 1
            servable = version.servable
        assert servable is not None
        try:
            yield servable
        finally:
            with self._changed:
                version.users -= 1
                if version.users == 0 and version.state == UNLOADING:
                    self._changed.notify_all()

    def status(self, spec: ModelSpec) -> GetModelStatusResponse:
        """The states of a model's versions, the newest first, or of the one that is asked for.

        Raises:
          ServingError: NOT_FOUND where there never was one, INVALID_ARGUMENT for an unknown label.
        """
        choice = spec.WhichOneof("version_choice")
        with self._changed:
            states = dict(self._status.get(spec.name, {}))
            number = self._labelled(spec) if choice == "version_label" else spec.version.value
        if choice is not None:
            if number not in states:
                message = f"Could not find version {number} of model {spec.name}"
                raise ServingError(grpc.StatusCode.NOT_FOUND, message)
            states = {number: states[number]}
        if not states:
            message = f"Could not find any versions of model {spec.name}"
            raise ServingError(grpc.StatusCode.NOT_FOUND, message)
        response = GetModelStatusResponse()
        for version in sorted(states, reverse=True):
            state, error = states[version]
            entry = response.model_version_status.add(version=version, state=ModelVersionStatus.State.Value(state))
            if error is None:
                entry.status.SetInParent()
            else:
                entry.status.error_code = error.code.value[0]
                entry.status.error_message = error.message
        return response

    def models(self) -> list[str]:
        """The names of the configured models, in the configuration's order."""
        return [name for name, model in list(self._models.items()) if model.configured]

    def ready(self) -> bool:
        """Whether it is started and each configured model has an available version."""
        with self._changed:
            return (
                self._started
                and not self._stopping
                and all(model.available() for model in self._models.values() if model.configured)
            )

    def _find(self, spec: ModelSpec) -> _Version:
        if not spec.name:
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, "ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        model = self._models.get(spec.name)
        if choice is None:
            available = [] if model is None else model.available()
            if available:
                return max(available, key=lambda version: version.number)
            raise _not_found(f"Latest({spec.name})")
        number = self._labelled(spec) if choice == "version_label" else spec.version.value
        version = None if model is None else model.versions.get(number)
        if version is None or version.state != AVAILABLE:
            raise _not_found(f"Specific({spec.name}, {number})")
        return version

    def _labelled(self, spec: ModelSpec) -> int:
        number = self._labels.get(spec.name, {}).get(spec.version_label)
        if number is None:
            message = f"Unrecognized servable version label: {spec.version_label}"
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)
        return number

    def _require_versions(self, config: ModelServerConfig) -> None:
        if not self.options.servable_versions_always_present:
            return
        for model in config.model_config_list.config:
            aspired, problem = _aspired(model)
            if aspired is None:
                raise _illegal(problem)
            if not aspired:
                message = f"Unable to find a numerical version path for servable {model.name} at: {model.base_path}"
                raise ServingError(grpc.StatusCode.NOT_FOUND, message)

    # The configuration. These are called with the lock held.

    def _apply(self, config: ModelServerConfig) -> None:
        """Makes a valid configuration the one that counts, or raises and leaves everything as it was."""
        configs = {model.name: model for model in config.model_config_list.config}
        labels = {name: self._checked_labels(model) for name, model in configs.items()}
        gone = {name: model for name, model in self._models.items() if name not in configs}
        for model in gone.values():
            model.configured = False
            model.aspired = {}
        kept = {}
        for name, model_config in configs.items():
            model = self._models.get(name) or _Model(model_config)
            if not model.configured:
                model.aspired = None
            model.config = model_config
            model.configured = True
            kept[name] = model
        self._config = config
        self._models = {**kept, **gone}
        self._labels = labels
        self._polled_at = None
        for model in gone.values():
            self._settle(model)

    def _checked_labels(self, config: ModelConfig) -> dict[str, int]:
        existing = self._labels.get(config.name, {})
        model = self._models.get(config.name)
        available = set() if model is None else {version.number for version in model.available()}
        for label, number in config.version_labels.items():
            moves = existing.get(label, number) != number
            if number not in available and (moves or not self.options.allow_version_labels_for_unavailable_models):
                raise ServingError(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"Request to assign label to version {number} of model {config.name}, which is not currently "
                    "available for inference",
                )
        return dict(config.version_labels)

    def _await(self, names: Collection[str], timeout_s: float | None, *, wait_for_versions: bool) -> None:
        """Waits until each of the models has an available version and `on_state` was told so, or one can have none."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while True:
                models = [model for name in names if (model := self._models.get(name)) and model.configured]
                waiting = [model for model in models if not model.available()]
                failed = [model for model in waiting if _is_lost(model, wait_for_versions)]
                if self._stopping:
                    raise ServingError(grpc.StatusCode.CANCELLED, "the server is stopping")
                if not waiting and not self._events:
                    return
                late = deadline is not None and time.monotonic() >= deadline
                if failed and len(failed) == len(waiting):
                    raise _unavailable(grpc.StatusCode.UNKNOWN, failed)
                if late:
                    raise _unavailable(grpc.StatusCode.DEADLINE_EXCEEDED, waiting)
                self._changed.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))

    # The manager's thread

    def _manage(self) -> None:
        while True:
            try:
                if self._step():
                    return
            except Exception:  # whatever happens to a folder, the other models are still to be watched
                _log.exception("the model manager failed; it goes on")
                time.sleep(0.1)

    def _step(self) -> bool:
        """Does what is due, then waits for the next thing to do. True at the end."""
        if self._poll_is_due():
            self._poll()
        with self._changed:
            for model in list(self._models.values()):
                self._settle(model)
            closing = self._unused()
        for version in closing:
            assert version.servable is not None
            version.servable.close()
            version.servable = None
        with self._changed:
            for version in closing:
                self._set(version, END)
                self._forget(version)
                if version.name in self._models:
                    self._settle(self._models[version.name])  # it may be aspired again by now
            self._start_loads()
        self._tell()
        with self._changed:
            if self._stopping and not any(model.versions for model in self._models.values()) and not self._events:
                return True
            if not self._events and not self._work_is_left():
                self._changed.wait(self._seconds_to_wait())
        return False

    def _poll_is_due(self) -> bool:
        with self._changed:
            if self._stopping:
                return False
            if self._polled_at is None:
                return True
            return 0 < self.options.poll_seconds <= time.monotonic() - self._polled_at

    def _poll(self) -> None:
        """Looks at all folders, without the lock; a model that is not configured any more by then is left alone."""
        with self._changed:
            self._polled_at = time.monotonic()
            configs = {name: model.config for name, model in self._models.items() if model.configured}
        found = {name: _aspired(config) for name, config in configs.items()}
        with self._changed:
            for name, (aspired, problem) in found.items():
                model = self._models.get(name)
                if model is None or model.config is not configs[name]:
                    continue
                if problem and problem != model.poll_problem:
                    _log.warning("%s", problem)
                model.poll_problem = problem
                if aspired is None:  # its folder cannot be read just now
                    model.aspired = model.aspired or {}
                elif model.aspired and not aspired and self.options.servable_versions_always_present:
                    _log.error("Refusing to unload all versions for Servable: %s", name)
                else:
                    model.aspired = aspired
            self._changed.notify_all()

    def _settle(self, model: _Model) -> None:
        """Takes up new versions and lets go of those that are not aspired, as far as the policy allows."""
        aspired = {} if self._stopping else model.aspired
        if aspired is None:
            return
        for number, folder in aspired.items():
            if number not in model.versions:
                version = model.versions[number] = _Version(model.config.name, number, folder)
                self._set(version, START)
        for version in list(model.versions.values()):
            if version.number in aspired:
                continue
            if version.state == START or version.retry_at is not None:
                self._set(version, END, version.error)
            if version.state == END:
                self._forget(version)
        while unload := _to_unload(model, aspired):
            self._set(unload, UNLOADING)

    def _unused(self) -> list[_Version]:
        return [
            version
            for model in self._models.values()
            for version in model.versions.values()
            if version.state == UNLOADING and version.users == 0
        ]

    def _work_is_left(self) -> bool:
        return bool(self._unused()) or self._to_load() is not None

    def _forget(self, version: _Version) -> None:
        """Drops a version that ended, so that it is taken up anew if it appears again."""
        model = self._models[version.name]
        if model.versions.get(version.number) is version:
            del model.versions[version.number]
        if not model.configured and not model.versions:
            del self._models[version.name]

    def _start_loads(self) -> None:
        while version := self._to_load():
            self._loads += 1
            version.retry_at = None
            version.tries += 1
            if version.state != LOADING:
                self._set(version, LOADING)
            name = f"load-{version.name}-{version.number}"
            threading.Thread(target=self._load, args=(version,), name=name, daemon=True).start()

    def _to_load(self) -> _Version | None:
        """The highest version of the first model that has one to load, where a load may begin."""
        if self._stopping or self._loads >= self.options.load_threads:
            return None
        now = time.monotonic()
        for model in self._models.values():
            due = [
                version
                for version in model.versions.values()
                if version.number in (model.aspired or {})
                and (version.state == START or (version.retry_at is not None and version.retry_at <= now))
            ]
            if due:
                return max(due, key=lambda version: version.number)
        return None

    def _load(self, version: _Version) -> None:
        """In a thread of its own."""
        servable = error = None
        try:
            servable = Servable.load(version.name, version.number, version.folder, self.options.engine)
        except Exception as raised:
            known = load_error(raised)
            error = ServingError(known.code, known.message)  # without the traceback, which holds the session
            _log.debug("%s version %d", version.name, version.number, exc_info=True)
        with self._changed:
            self._loads -= 1
            model = self._models[version.name]
            wanted = version.number in (model.aspired or {}) and not self._stopping
            if servable is not None:
                version.servable = servable
                self._set(version, AVAILABLE)
                self._settle(model)
            elif wanted and version.tries <= self.options.max_load_retries:
                version.retry_at = time.monotonic() + self.options.retry_seconds
                self._set(version, LOADING, error)
            else:
                self._set(version, END, error)
            self._changed.notify_all()

    def _set(self, version: _Version, state: str, error: ServingError | None = None) -> None:
        version.state = state
        version.error = error
        if state == END:
            version.retry_at = None
        self._status.setdefault(version.name, {})[version.number] = (state, error)
        detail = "" if error is None else f"{error.code.name}: {error.message}"
        self._events.append((version.name, version.number, state, detail))
        self._changed.notify_all()

    def _tell(self) -> None:
        """Tells `on_state` what happened; an event stays in the queue until it was told."""
        while True:
            with self._changed:
                if not self._events:
                    self._changed.notify_all()
                    return
                event = self._events[0]
            if self.on_state is not None:
                try:
                    self.on_state(*event)
                except Exception:
                    _log.exception("on_state failed")
            with self._changed:
                self._events.popleft()

    def _seconds_to_wait(self) -> float:
        times = [IDLE_SECONDS]
        if not self._stopping:
            if self.options.poll_seconds > 0 and self._polled_at is not None:
                times.append(self._polled_at + self.options.poll_seconds - time.monotonic())
            if self._polled_at is None:
                return 0
            if self._loads < self.options.load_threads:
                retries = [version.retry_at for model in self._models.values() for version in model.versions.values()]
                times += [at - time.monotonic() for at in retries if at is not None]
        return max(0.0, min(times))


def _to_unload(model: _Model, aspired: Collection[int]) -> _Version | None:
    """The version to unload next: the lowest that is not aspired, if an aspired one serves, or none is aspired, or
    another one that is not aspired serves as well."""
    available = model.available()
    unaspired = [version for version in available if version.number not in aspired]
    if unaspired and (not aspired or len(unaspired) < len(available) or len(unaspired) > 1):
        return min(unaspired, key=lambda version: version.number)
    return None


def _is_lost(model: _Model, wait_for_versions: bool) -> bool:
    """Whether a model that has no available version will have none, as things are."""
    if model.aspired is None:
        return False
    if not model.aspired:
        return not wait_for_versions
    return all(number in model.versions and model.versions[number].state == END for number in model.aspired)


def _unavailable(code: grpc.StatusCode, models: Collection[_Model]) -> ServingError:
    """TF Serving's message on models that do not serve."""
    reasons = []
    for model in models:
        versions = sorted(model.versions.values(), key=lambda version: version.number)
        for version in versions:
            error = version.error
            due = "" if error is None else f" due to error: {error.code.name}: {error.message}"
            reasons.append(f"{{{{name: {version.name} version: {version.number}}}{due}}}, ")
        if not versions:
            problem = model.poll_problem or f"no version of it was found under {model.config.base_path}"
            reasons.append(f"{{{{name: {model.config.name}}} due to error: NOT_FOUND: {problem}}}, ")
    return ServingError(code, f"{len(models)} model(s) did not become available: {{{''.join(reasons)}}}")


def _not_found(request: str) -> ServingError:
    return ServingError(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {request}")


# Configurations and folders


def _validate(config: ModelServerConfig) -> None:
    """
    Raises:
      ServingError: INVALID_ARGUMENT where a configuration cannot be served, whatever the state of the models.
    """
    if config.WhichOneof("config") == "custom_model_config":
        raise _illegal("Missing custom_model_config_loader in ServerCore Options")
    names = set()
    for model in config.model_config_list.config:
        if not model.name:
            raise _illegal(f"a model has no name; its base_path is {model.base_path!r}")
        if model.name in names:
            raise _illegal(f"Illegal to list model {model.name} multiple times in config list")
        names.add(model.name)
        _validate_platform(model)
        if "://" in model.base_path:
            raise _illegal(f"model {model.name}: base_path {model.base_path} is no folder of this machine")
        if not Path(model.base_path).is_absolute():
            raise _illegal(
                f"Expected model {model.name} to have an absolute path or URI; got base_path()={model.base_path}"
            )


def _validate_platform(model: ModelConfig) -> None:
    if model.model_type:
        if model.model_platform:
            raise _illegal(
                "Illegal setting both ModelServerConfig::model_type (deprecated) and ModelServerConfig::model_platform."
            )
        if model.model_type != TENSORFLOW_MODEL_TYPE:
            raise _illegal(f"ModelServerConfig::model_type choice {model.model_type} not supported.")
    elif not model.model_platform:
        raise _illegal(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform."
        )
    elif model.model_platform != PLATFORM:
        raise _illegal(f"Model {model.name} requests unsupported platform {model.model_platform}")


def _illegal(message: str) -> ServingError:
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, truncated(message))


def _aspired(config: ModelConfig) -> tuple[dict[int, Path] | None, str]:
    """The folders of the versions that should serve, by number, and what is to be said of that.

    None where the folder cannot be read: then nothing is to change.
    """
    base = Path(config.base_path)
    try:
        there = _versions_in(base)
    except (OSError, ValueError) as error:  # ValueError: no path can have these characters
        why = error.strerror if isinstance(error, OSError) else error
        return None, f"Could not find base path {base} for servable {config.name} with error {why}"
    policy = config.model_version_policy
    choice = policy.WhichOneof("policy_choice")
    problem = ""
    if choice == "all":
        aspired = there
    elif choice == "specific":
        aspired = {number: there[number] for number in policy.specific.versions if number in there}
        if missing := sorted(set(policy.specific.versions) - there.keys()):
            problem = (
                f"Versions {missing} of servable {config.name}, which were requested to be served as 'specific' "
                "versions in the servable's version policy, were not found in the file system"
            )
    else:
        newest = sorted(there, reverse=True)[: max(policy.latest.num_versions, 1)]
        aspired = {number: there[number] for number in newest}
    if not aspired and not problem:
        problem = (
            f"No versions of servable {config.name} found under base path {base}. "
            "Did you forget to name your leaf directory as a number (eg. '/1/')?"
        )
    return aspired, problem


def _versions_in(base: Path) -> dict[int, Path]:
    """All complete versions: whoever copies one writes saved_model.pb last."""
    folders: dict[int, Path] = {}
    for path in sorted(base.iterdir()):
        number = int(path.name) if re.fullmatch(r"[0-9]+", path.name) else -1
        complete = any((path / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt"))
        if 0 <= number <= MAX_VERSION and complete:
            folders[number] = path
    return folders
