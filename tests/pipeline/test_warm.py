"""The warm server, with real processes: what a child gets, how it ends, and that nothing stays behind."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.warm import wire

PROJECT = Path(__file__).parents[2]
PATIENCE = 60.0


class Client:
    """Starts client processes that share a folder for sockets, and knows their servers by the log."""

    def __init__(self, folder: Path, code: Path = PROJECT):
        self.folder, self.code = folder, code
        self.log = folder / "logs" / "warm.log"

    def start(self, function: str, minutes: float = 1, grace: float = 60, **arguments: Any) -> subprocess.Popen[str]:
        order = {
            "function": function,
            "arguments": arguments,
            "minutes": minutes,
            "log": str(self.log),
            "preload": ["numpy"],
            "grace_seconds": grace,
        }
        path = os.pathsep.join([str(self.code), str(PROJECT / "tests")])
        return subprocess.Popen(
            [sys.executable, str(PROJECT / "tests" / "warm_errands.py"), json.dumps(order)],
            env={**os.environ, "TMPDIR": str(self.folder), "PYTHONPATH": path, "ERRAND": "an errand's own"},
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, function: str, minutes: float = 1, **arguments: Any) -> tuple[int, str, str]:
        process = self.start(function, minutes, **arguments)
        out, err = process.communicate("a line\n", timeout=PATIENCE)
        return process.returncode, out, err

    def waiting(self, **arguments: Any) -> tuple[subprocess.Popen[str], list[int]]:
        """A client whose child has a child and a grandchild; the process ids of these three."""
        file = self.folder / "family"
        file.unlink(missing_ok=True)
        process = self.start("warm_errands:wait", folder=str(self.folder), **arguments)
        until(file.exists)
        return process, json.loads(file.read_text())

    @property
    def socket(self) -> Path | None:
        return next(self.folder.glob("tfx-bert-*/*.sock"), None)

    def servers(self) -> list[int]:
        """Process ids of the servers that came so far as to serve."""
        said = self.log.read_text(encoding="utf-8") if self.log.exists() else ""
        return [int(pid) for pid in re.findall(r"warm server (\d+): ready", said)]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    made = Client(tmp_path)
    yield made
    for server in made.servers():
        with suppress(ProcessLookupError):
            os.kill(server, signal.SIGKILL)


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def gone(pids: list[int]) -> bool:
    """Whether they have ended; whoever is to reap them may be slow."""
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                return False
    return True


def test_the_child_sees_what_the_client_s_own_process_would_see(client: Client) -> None:
    seen = {}
    for name, minutes in (("cold", 0), ("warm", 1)):
        file = client.folder / name
        assert client.call("warm_errands:tell", minutes, file=str(file), code=7) == (7, "out: a line\n", "err\n")
        seen[name] = json.loads(file.read_text())
        del seen[name]["random"], seen[name]["pid"], seen[name]["argv"]
    assert seen["warm"] == seen["cold"]
    assert seen["warm"]["environment"]["ERRAND"] == "an errand's own"
    assert seen["warm"]["folder"] == str(client.folder)


def test_clients_share_a_server_and_siblings_draw_different_numbers(client: Client) -> None:
    told = []
    for number in range(3):
        file = client.folder / str(number)
        assert client.call("warm_errands:tell", file=str(file))[0] == 0
        told.append(json.loads(file.read_text()))
    assert len(client.servers()) == 1
    assert len({one["pid"] for one in told}) == 3
    assert len({number for one in told for number in one["random"]}) == 6


def test_nothing_of_a_client_stays_in_the_server(client: Client) -> None:
    client.call("warm_errands:fault")
    server = psutil.Process(client.servers()[0])
    until(lambda: not server.children())
    descriptors = server.num_fds()
    for _ in range(3):
        client.call("warm_errands:fault")
    until(lambda: not server.children())
    assert server.num_fds() == descriptors


def test_clients_that_start_together_start_one_server(client: Client) -> None:
    processes = [client.start("warm_errands:tell", file=str(client.folder / str(n)), code=n) for n in range(4)]
    for number, process in enumerate(processes):
        process.communicate("a line\n", timeout=PATIENCE)
        assert process.returncode == number
    assert len(client.servers()) == 1


def test_a_fault_is_a_stack_trace_and_a_crash_its_signal(client: Client) -> None:
    code, _, err = client.call("warm_errands:fault")
    assert (code, "ValueError: a fault" in err) == (1, True)
    assert client.call("warm_errands:crash")[0] == 128 + signal.SIGSEGV


def test_sigterm_is_handed_on_and_the_exit_code_handed_back(client: Client) -> None:
    process, family = client.waiting()
    process.terminate()
    assert process.wait(PATIENCE) == 143
    assert gone(family)


def test_a_child_that_does_not_end_is_killed_after_the_grace_time(client: Client) -> None:
    process, family = client.waiting(deaf=True, grace=0.5)
    process.terminate()
    assert process.wait(PATIENCE) == 143
    assert gone(family)


def test_ctrl_c_interrupts_the_child(client: Client) -> None:
    process, family = client.waiting()
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130
    assert gone(family)


def test_ctrl_z_stops_the_child_and_fg_lets_it_go_on(client: Client) -> None:
    process, family = client.waiting()
    child = psutil.Process(family[0])
    process.send_signal(signal.SIGTSTP)
    until(lambda: child.status() == psutil.STATUS_STOPPED)
    assert psutil.Process(process.pid).status() == psutil.STATUS_STOPPED
    process.send_signal(signal.SIGCONT)
    until(lambda: child.status() == psutil.STATUS_SLEEPING)
    process.terminate()
    assert process.wait(PATIENCE) == 143


def test_a_killed_client_takes_all_that_it_had_started(client: Client) -> None:
    process, family = client.waiting(deaf=True)
    process.kill()
    until(lambda: gone(family))
    assert psutil.Process(client.servers()[0]).is_running()


def test_a_killed_server_takes_all_and_the_next_client_starts_another(client: Client) -> None:
    process, family = client.waiting(deaf=True)
    os.kill(client.servers()[0], signal.SIGKILL)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "the warm server was killed" in err
    until(lambda: gone(family))
    assert client.call("warm_errands:tell", file=str(client.folder / "again"), code=3)[0] == 3
    assert len(client.servers()) == 2


def test_a_killed_keeper_takes_all_that_it_kept(client: Client) -> None:
    process, family = client.waiting(deaf=True)
    psutil.Process(family[0]).parent().kill()  # type: ignore[union-attr]
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    until(lambda: gone(family))


def test_a_server_that_is_asked_to_end_lets_its_children_end_well(client: Client) -> None:
    process, family = client.waiting()
    server = client.servers()[0]
    os.kill(server, signal.SIGTERM)
    assert process.wait(PATIENCE) == 143
    until(lambda: gone([*family, server]))
    assert client.socket is None


def test_what_a_child_leaves_behind_is_ended_with_it(client: Client) -> None:
    file = client.folder / "left"
    code, _, _ = client.call("warm_errands:leave_one_behind", file=str(file))  # it holds stdout
    assert code == 0
    assert gone([int(file.read_text())])


def test_a_server_without_work_ends_and_leaves_no_socket(client: Client) -> None:
    client.call("warm_errands:fault", minutes=0.02)
    until(lambda: gone(client.servers()))
    assert client.socket is None
    assert "ends: there was no work" in client.log.read_text()


def test_code_that_changed_is_not_served_by_an_old_server(client: Client) -> None:
    for package in ("pipeline", "modules", "data", "serving"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / package, client.folder / "code" / package, ignore=ignored)
    client.code = client.folder / "code"
    edited = client.code / "modules" / "edited.py"
    answers = []
    for answer in (21, 22):
        edited.write_text(f"def answer() -> int:\n    return {answer}\n", encoding="utf-8")
        answers.append(client.call("modules.edited:answer", minutes=0.1)[0])
    assert answers == [21, 22]
    first, _ = client.servers()
    until(lambda: gone([first]))
    assert f"{first}: ends: the code has changed" in client.log.read_text()


def test_a_full_disk_does_not_keep_the_server_from_work(client: Client) -> None:
    log, client.log = client.log, Path("/dev/full")
    for _ in range(2):
        file = client.folder / "told"
        assert client.call("warm_errands:tell", minutes=0.02, file=str(file), code=4)[0] == 4
    client.log = log
    assert client.socket is not None
    until(lambda: client.socket is None)


def test_where_no_server_can_be_had_the_function_is_called_here(client: Client) -> None:
    (client.folder / f"tfx-bert-{os.getuid()}").mkdir(mode=0o755)
    process = client.start("warm_errands:tell", file=str(client.folder / "told"), code=5)
    _, err = process.communicate("a line\n", timeout=PATIENCE)
    assert process.returncode == 5
    assert "no warm process to be had" in err
    assert "chmod 700" in err
    assert json.loads((client.folder / "told").read_text())["pid"] == process.pid


def test_a_server_whose_imports_start_a_thread_serves_nobody(client: Client) -> None:
    (client.folder / "numpy.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n",
        encoding="utf-8",
    )
    client.code = Path(f"{client.folder}{os.pathsep}{PROJECT}")
    code, _, err = client.call("warm_errands:crash")
    assert code == -signal.SIGSEGV  # here
    assert "an import has started threads" in err


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")
def test_a_connection_of_another_user_is_told_by_the_kernel(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0tfx-bert-test-" + tmp_path.name)
        listener.listen()
        connect = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({listener.getsockname()!r}); s.recv(1)"
        answers = []
        for user in (os.getuid(), 65534):
            with subprocess.Popen(["python3", "-c", connect], user=user, cwd="/"):
                connection, _ = listener.accept()
                with connection:
                    answers.append(wire.is_own(connection))
    assert answers == [True, False]
