"""`orchestration.metadata`: what can be set, what is wrong with it, and what comes of it without connecting."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from data.errors import UserError
from pipeline.config_file import ConfigError, load_config
from pipeline.database_server import DatabaseServer
from pipeline.settings.metadata import MetadataServer
from pipeline.store_address import SqliteFile, address_from

SERVER = {"kind": "postgresql", "host": "db", "user": "tfx"}


def load(folder: Path, orchestration: dict[str, Any], overrides: tuple[str, ...] = ()) -> Any:
    values = {"name": "mine", "data": {"path": "my.csv", "labels": ["no", "yes"]}, "orchestration": orchestration}
    (folder / "mine.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return load_config(str(folder / "mine.yaml"), overrides)


def server(**more: Any) -> DatabaseServer:
    return DatabaseServer(MetadataServer.model_validate({**SERVER, **more}))


def test_a_file_is_the_default_and_a_server_takes_its_place(tmp_path: Path) -> None:
    assert load(tmp_path, {}).metadata == SqliteFile(tmp_path / "output" / "mine" / "metadata.db")
    found = load(tmp_path, {"metadata": SERVER}, ("orchestration.metadata.password_file=secret.txt",))
    assert str(found.metadata) == "postgresql://tfx@db:5432/mlmd"
    assert found.orchestration.metadata.password_file == str(Path("secret.txt").absolute())
    assert address_from(found.model_dump(mode="json")["orchestration"], tmp_path) == found.metadata


def test_a_relative_password_file_is_beside_the_configuration(tmp_path: Path) -> None:
    found = load(tmp_path, {"metadata": {**SERVER, "password_file": "secret.txt"}})
    assert found.orchestration.metadata.password_file == str(tmp_path / "secret.txt")


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    wrong = {"kind": "oracle", "database": "a b", "password": "hushed-45", "port": 0}
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, {"metadata": wrong})
    told = str(raised.value)
    for words in (
        "orchestration.metadata.kind is 'oracle': it should be 'postgresql' or 'mysql'",
        "orchestration.metadata.database is 'a b'",
        "orchestration.metadata.port is 0",
        "orchestration.metadata.user: missing",
        "orchestration.metadata.password: unknown key; did you mean 'password_",
    ):
        assert words in told
    assert "hushed" not in told


@pytest.mark.parametrize(
    ("orchestration", "words"),
    [
        ({"metadata_path": "a.db", "metadata": SERVER}, "metadata_path and metadata are both given"),
        (
            {"metadata": {**SERVER, "password_env": "A", "password_file": "b"}},
            "password_env and password_file are both given",
        ),
        ({"metadata": {**SERVER, "tls": {"ca": "ca.pem"}}}, "PostgreSQL client is built without TLS"),
    ],
)
def test_settings_that_contradict_each_other_are_told(tmp_path: Path, orchestration: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load(tmp_path, orchestration)


def test_the_password_comes_from_the_environment_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "from the environment")
    (tmp_path / "secret").write_text("from a file\r\nnot this\n", encoding="utf-8")
    assert server(password_env="MINE").password() == "from the environment"
    assert server(password_file=str(tmp_path / "secret")).password() == "from a file"
    assert server().password() == ""
    monkeypatch.delenv("MINE")
    with pytest.raises(UserError, match=r"environment variable MINE .* is not set: export MINE="):
        server(password_env="MINE").password()
    with pytest.raises(UserError, match="password_file /nowhere cannot be read: No such file"):
        server(password_file="/nowhere").password()


def test_values_of_postgresqls_connection_string_are_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the rules of https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-KEYWORD-VALUE."""
    monkeypatch.setenv("MINE", r"a b'c\d")
    made = server(password_env="MINE").connection().postgresql
    assert (made.password, made.host, made.port) == (r"'a b\'c\\d'", "'db'", "'5432'")
    assert made.skip_db_creation
    assert server(password_env="MINE").connection(secrets=False).postgresql.password == ""


def test_mysql_takes_a_host_or_a_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    tcp = server(kind="mysql", host="localhost").connection().mysql
    assert (tcp.host, tcp.port, tcp.socket) == ("127.0.0.1", 3306, "")
    local = server(kind="mysql", host="/run/mysqld/mysqld.sock").connection().mysql
    assert (local.host, local.socket) == ("", "/run/mysqld/mysqld.sock")
    trusting = server(kind="mysql", tls={"ca": "/ca.pem"}).connection().mysql.ssl_options
    assert (trusting.ca, trusting.verify_server_cert) == ("/ca.pem", True)
