"""`orchestration.metadata`: a database server that keeps ML Metadata, for runs that several machines or nodes share."""

from typing import Literal

from pydantic import Field, model_validator

from pipeline.settings.section import Section


class TlsConfig(Section):
    """How a MySQL client proves itself and whom it trusts; paths of PEM files."""

    ca: str | None = Field(None, description="who may have signed the server's certificate")
    cert: str | None = Field(None, description="the client's certificate, where the server asks for one")
    key: str | None = Field(None, description="the client's key")
    cipher: str | None = None
    verify_server_cert: bool = Field(True, description="false: whoever answers is taken for the server")


class MetadataServer(Section):
    """Where the server is and as whom to connect; never the password, only where that is read from."""

    kind: Literal["postgresql", "mysql"] = Field(description="mysql: MariaDB, too")
    host: str = Field(
        "127.0.0.1", min_length=1, description="a name, an address, or the socket: PostgreSQL's folder, MySQL's file"
    )
    port: int | None = Field(None, ge=1, le=65535, description="default 5432 or 3306")
    database: str = Field(
        "mlmd", pattern=r"^[A-Za-z0-9_-]{1,63}$", description="made where it is not there, if the user may"
    )
    user: str = Field(min_length=1)
    password_env: str | None = Field(None, min_length=1, description="the environment variable that has the password")
    password_file: str | None = Field(None, min_length=1, description="or the file whose first line it is")
    tls: TlsConfig | None = Field(None, description="MySQL's; MLMD's PostgreSQL client is built without TLS")
    retry_seconds: float = Field(60, ge=0, description="how long a run waits for a server that has gone away")

    @model_validator(mode="after")
    def _fits(self) -> "MetadataServer":
        problems = []
        if self.password_env and self.password_file:
            problems.append("password_env and password_file are both given, and the password is read from one of them")
        if self.tls and self.kind == "postgresql":
            problems.append(
                "MLMD's PostgreSQL client is built without TLS: leave `tls` out, and bring the connection through a"
                " tunnel (stunnel, ssh -L, a cloud provider's proxy) whose end is `host`"
            )
        if problems:
            raise ValueError("; ".join(problems))
        return self
