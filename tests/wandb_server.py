"""As much of a W&B server as its client needs to be content; keeps what it is told."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "fa0e" + 18 * "b7"
TEAM = "team"


@dataclass
class WandbServer:
    """`calls` are GraphQL operations with their variables; `posted` the bodies of other requests by path."""

    url: str = ""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    posted: list[tuple[str, bytes]] = field(default_factory=list)

    def variables(self, operation: str) -> list[dict[str, Any]]:
        return [variables for name, variables in self.calls if name == operation]

    def answer(self, query: dict[str, Any]) -> dict[str, Any]:
        name, given = query.get("operationName") or "", query.get("variables") or {}
        self.calls.append((name, given))
        if name == "UpsertBucket":
            project = {"id": "p", "name": given["project"], "entity": {"id": "e", "name": TEAM}}
            bucket = {"id": "b", "name": given["name"], "historyLineCount": 0, "project": project}
            return {"upsertBucket": {"bucket": bucket, "inserted": True}}
        if name == "Viewer":
            teams: dict[str, Any] = {"edges": []}
            return {
                "viewer": {"id": "u", "entity": TEAM, "username": "ann", "email": "", "flags": "{}", "teams": teams}
            }
        if name == "CreateRunFiles":
            files = [{"name": file, "uploadUrl": f"{self.url}/put/{file}"} for file in given["files"]]
            return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
        if name == "CreateArtifact":
            sequence = {"id": "s", "latestArtifact": {"id": "a", "versionIndex": 0}}
            return {"createArtifact": {"artifact": {"id": "a", "state": "COMMITTED", "artifactSequence": sequence}}}
        return {"project": None}


@contextmanager
def wandb_server() -> Iterator[WandbServer]:
    server = WandbServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            answer: dict[str, Any] = {}
            if self.path == "/graphql":
                answer = {"data": server.answer(json.loads(body))}
            else:
                server.posted.append((self.path, body))
            content = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_PUT = do_POST

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that hangs up is no news."""

    listening = Quiet(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{listening.server_address[1]}"
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
