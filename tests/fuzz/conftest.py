"""The server that all fuzzing hits, and in the end the count of what it was sent: see server.py."""

from collections.abc import Iterator

import pytest

from tests.fuzz.server import Server, running

_SERVER = pytest.StashKey[Server]()


@pytest.fixture(scope="session")
def session_server(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("models")) as server:
        request.config.stash[_SERVER] = server
        yield server


@pytest.fixture
def server(session_server: Server) -> Iterator[Server]:
    """The server, which must be well before and after each test."""
    session_server.check()
    yield session_server
    session_server.check()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """How many requests of which kind there were, and how they were answered."""
    server = config.stash.get(_SERVER, None)
    if server is None:
        return
    kinds = sorted({kind for kind, _ in server.sent})
    terminalreporter.section(f"{sum(server.sent.values())} fuzzed requests")
    for kind in kinds:
        codes = {code: count for (of, code), count in sorted(server.sent.items()) if of == kind}
        listed = ", ".join(f"{code} {count}" for code, count in codes.items())
        terminalreporter.write_line(f"{kind}: {sum(codes.values())} ({listed})")
