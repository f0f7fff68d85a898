"""The server under test, once for the whole suite: see server.py."""

from collections.abc import Iterator

import pytest

from tests.serving.conformance.server import Server, embedded_server, running_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of TFX_BERT_SERVER (HOST:GRPC_PORT:REST_PORT; its model is TFX_BERT_MODEL), or the embedded one."""
    running = running_server()
    if running is not None:
        yield running
        return
    with embedded_server(tmp_path_factory.mktemp("models")) as started:
        yield started


@pytest.fixture(scope="session")
def own_server(server: Server) -> Server:
    """The server with the suite's own models, which tests may change."""
    if server.folder is None:
        pytest.skip("it needs the suite's own models: TFX_BERT_SERVER names a server that serves others")
    return server
