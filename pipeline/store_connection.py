"""Opening ML Metadata; of a server, with its errors in words, and again where the connection was lost meanwhile."""

import logging
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

import ml_metadata as mlmd
from ml_metadata import errors
from ml_metadata.proto import metadata_store_pb2

from pipeline.database_server import DatabaseServer
from pipeline.server_faults import Away, Missing, away, fault, is_away, of_version, unknown, what_mlmd_says
from pipeline.store_address import StoreAddress
from pipeline.type_lock import types_locked

REACH_SECONDS = 10
# Between two attempts to reach a server that is away: twice as long each time.
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0
# How often a store is opened where others make its tables at the same moment.
RACES = 5
# A password as short as this is in every other word.
LEAST_SECRET = 3

REGISTERING = ("PutTypes", "PutArtifactType", "PutExecutionType", "PutContextType")

T = TypeVar("T")
_log = logging.getLogger("tfx_bert.metadata")


def connect(
    address: StoreAddress, *, readonly: bool = False, create: bool = False, patient: bool = False
) -> mlmd.MetadataStore:
    """Opens the store.

    Args:
      readonly: of a file; on a server, the user's rights decide.
      create: makes a server's database where it is not there; a file is made in any case.
      patient: waits for a server that is away, as long as its settings say.

    Raises:
      Missing: there is no such database on the server.
      Away: the server cannot be reached.
      UserError: it does not let us in or make the database, or another version of MLMD has made the tables.
    """
    if not isinstance(address, DatabaseServer):
        try:
            return mlmd.MetadataStore(address.connection(readonly=readonly))
        except RuntimeError as error:
            raise of_version(address, str(error)) or error from None
    config = address.connection()
    try:
        return _waiting(address.patience if patient else 0, lambda: ServerStore(address, config))
    except Missing:
        if not create:
            raise
    making = metadata_store_pb2.ConnectionConfig()
    making.CopyFrom(config)
    getattr(making, address.settings.kind).skip_db_creation = False
    return ServerStore(address, making)


class ServerStore(mlmd.MetadataStore):
    """A store on a server.

    Where the connection is lost, what only reads connects again and goes on; what writes does not, as it may have been
    written: its component fails, and is to be run again.
    """

    def __init__(self, server: DatabaseServer, config: metadata_store_pb2.ConnectionConfig):
        self._server = server
        _reach(server)
        for race in range(RACES):
            with what_mlmd_says() as said, _discreet_log():
                reason = self._open(config)
            if reason is None:
                self._config = server.connection(secrets=False)  # nobody is to find the password in it
                return
            words = _without(server.password(), said.text + reason)
            found = fault(server, words)
            if found is not None or race == RACES - 1:
                raise found or unknown(server, words)
            time.sleep(random.random() * (race + 1) / 4)

    def _open(self, config: metadata_store_pb2.ConnectionConfig) -> str | None:
        try:
            super().__init__(config)
        except RuntimeError as error:
            return str(error)
        return None

    def _pywrap_cc_call(self, method: Callable[..., Any], request: Any, response: Any) -> None:
        """Every call goes through here."""
        with types_locked(self._server) if method.__name__ in REGISTERING else nullcontext():
            self._call_again(method, request, response)

    def _call_again(self, method: Callable[..., Any], request: Any, response: Any) -> None:
        try:
            super()._pywrap_cc_call(method, request, response)
            return
        except errors.InternalError as error:
            if not is_away(str(error)):
                raise
        if not method.__name__.startswith("Get"):
            raise Away(
                f"{self._server}: the connection was lost in the middle of a change, of which it is not known whether"
                " it was made: run the same again when the server is back"
            )
        _log.info("%s: the connection was lost; connecting again", self._server)
        self._metadata_store = connect(self._server, patient=True)._metadata_store
        super()._pywrap_cc_call(method, request, response)


def _without(password: str, text: str) -> str:
    return text.replace(password, "***") if len(password) > LEAST_SECRET else text


def _waiting(seconds: float, attempt: Callable[[], T]) -> T:
    """Tries again and again for some time, while the server is away."""
    deadline, pause = time.monotonic() + seconds, FIRST_PAUSE
    while True:
        try:
            return attempt()
        except Away as error:
            if time.monotonic() + pause > deadline:
                raise
            _log.info("%s; trying again in %.1f s", error, pause)
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def _reach(server: DatabaseServer) -> None:
    """Sees that something answers: the clients themselves wait without end, and MySQL's does not say why it failed."""
    try:
        if server.socket:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(REACH_SECONDS)
                probe.connect(server.socket)
        else:
            socket.create_connection((server.settings.host, server.port), REACH_SECONDS).close()
    except OSError as error:
        raise away(server, error.strerror or str(error)) from None


@contextmanager
def _discreet_log() -> Iterator[None]:
    """MLMD logs the whole connection for debugging, the password in it."""
    logger = logging.getLogger("absl")

    def harmless(record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("ConnectionConfig")

    logger.addFilter(harmless)
    try:
        yield
    finally:
        logger.removeFilter(harmless)
