"""Watching a component: what its listeners are told, and that nothing fails quietly."""

import subprocess
import sys
import time

import pytest

from pipeline.watch import ComponentFailed, ComponentReport, Watcher, give_back_memory, resident_mib


class Listener:
    """Keeps what it is told, as it was at that moment."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.last: ComponentReport | None = None

    def component_changed(self, report: ComponentReport) -> None:
        self.told.append((report.id, report.state))
        self.last = report


def test_listeners_are_told_of_start_and_end_in_order() -> None:
    first, second = Listener(), Listener()
    watcher = Watcher({"Transform": "done", "Trainer": "cached"}.__getitem__, [first, second])
    for component in ("Transform", "Trainer"):
        with watcher.watching(component):
            assert first.told[-1] == (component, "running")
    expected = [("Transform", "running"), ("Transform", "done"), ("Trainer", "running"), ("Trainer", "cached")]
    assert first.told == second.told == expected
    assert watcher.failure is None


@pytest.mark.parametrize("state", ["failed", "skipped"])
def test_a_component_that_quietly_left_no_result_has_failed(state: str) -> None:
    listener = Listener()
    watcher = Watcher(lambda component: state, [listener])
    with (
        pytest.raises(ComponentFailed, match=r"^Trainer failed: its inputs are missing$") as raised,
        watcher.watching("Trainer"),
    ):
        pass
    assert (raised.value.component, raised.value.cause) == ("Trainer", None)
    assert watcher.failure is raised.value
    assert listener.told == [("Trainer", "running"), ("Trainer", state)]


def test_what_a_component_raised_is_kept_as_the_cause() -> None:
    listener, error = Listener(), ValueError("bad weights")
    watcher = Watcher(lambda component: pytest.fail("the store is not asked"), [listener])
    with pytest.raises(ComponentFailed, match=r"^Trainer failed: bad weights$") as raised, watcher.watching("Trainer"):
        raise error
    assert raised.value.cause is raised.value.__cause__ is error
    assert watcher.failure is raised.value
    assert listener.told == [("Trainer", "running"), ("Trainer", "failed")]


def test_seconds_are_those_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    listener, clock = Listener(), iter([100.0, 107.5])
    watcher = Watcher(lambda component: "done", [listener])
    monkeypatch.setattr("pipeline.watch.time.monotonic", lambda: next(clock))
    with watcher.watching("Trainer"):
        pass
    assert listener.last is not None
    assert listener.last.seconds == 7.5


def test_the_peak_is_seen_though_it_is_gone_at_the_end() -> None:
    listener = Listener()
    before = resident_mib()
    with Watcher(lambda component: "done", [listener]).watching("Trainer"):
        block = b"x" * (200 * 2**20)
        time.sleep(0.6)
        del block
    assert listener.last is not None
    assert before + 180 < listener.last.peak_mib < before + 400
    assert resident_mib() < before + 100


def test_memory_of_child_processes_counts() -> None:
    before = resident_mib()
    program = "block = b'x' * (100 * 2**20); print('ready', flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    assert resident_mib() > before + 90
    child.communicate(b"\n")


def test_what_a_component_freed_is_given_back_to_the_system() -> None:
    blocks = [bytearray(100_000) for _ in range(2_000)]  # small enough for the heap, which glibc keeps
    kept = blocks[::100]
    before = resident_mib()
    del blocks
    give_back_memory()
    assert resident_mib() < before - 100
    assert len(kept) == 20
