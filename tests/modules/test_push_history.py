"""What stands after pushes and rollbacks, and which models a rollback has gone back over."""

from pathlib import Path

import pytest
from model_store import PIPELINE, ModelStore

from modules.push_history import Push, pushes_of, standing, undone_by, withdrawn


def history(*steps: str) -> list[Push]:
    """Pushes from words: "A" pushes model A, "A<2" brings model A back from the second push."""
    made = []
    for number, step in enumerate(steps, 1):
        model, _, restored = step.partition("<")
        kind = "rollback" if restored else "push"
        made.append(Push(number, str(number), "", "", ord(model), kind, int(restored) if restored else None, 0.0))
    return made


@pytest.mark.parametrize(
    ("steps", "stands", "gone"),
    [
        ("", "", ""),
        ("A", "A", ""),
        ("A B C", "C B A", ""),
        ("A B A", "A B A", ""),
        ("A B A<1", "A", "B"),
        ("A B C B<2", "B A", "C"),
        ("A B C B<2 A<1", "A", "B C"),  # a second rollback goes one further back
        ("A B C A<1", "A", "B C"),  # --to skips both
        ("A B A<1 D", "D A", "B"),
        ("A B A<1 D A<3", "A", "B D"),
        ("A B A<1 B<2", "B A", ""),  # --to a version that was rolled back
        ("A B A<1 B", "B A", ""),  # promoted after all
        ("A B A<1 B A<3", "A", "B"),
        ("A B A B<2", "B A", "A"),  # an earlier push of the model stands, its last one does not
    ],
)
def test_what_stands_is_what_a_rollback_would_return_to_in_order(steps: str, stands: str, gone: str) -> None:
    pushes = history(*steps.split())
    assert " ".join(chr(push.model_id or 0) for push in standing(pushes)) == stands
    models = {push.model_id for push in pushes}
    assert {model for model in models if model and withdrawn(pushes, model)} == {ord(name) for name in gone.split()}


def test_the_withdrawn_push_is_the_model_s_last_one() -> None:
    pushes = history("A", "B", "B", "A<1")
    assert withdrawn(pushes, ord("B")) == pushes[2]
    assert withdrawn(pushes, ord("C")) is None


@pytest.mark.parametrize(
    ("steps", "undone"),
    [
        ("A B A<1", {2: 3}),
        ("A B C B<2 A<1", {2: 5, 3: 4, 4: 5}),  # version 2 stood on in the rollback to it
        ("A B A<1 B<2", {2: 3}),
        ("A B B A<1", {2: 4, 3: 4}),
        ("A B A B<2", {3: 4}),
    ],
)
def test_a_push_is_undone_by_the_first_rollback_after_which_it_no_longer_stands(
    steps: str, undone: dict[int, int]
) -> None:
    pushes = history(*steps.split())
    found = {push.id: undone_by(pushes, push) for push in pushes}
    assert {id_: rollback.id for id_, rollback in found.items() if rollback} == undone


def test_pushes_are_read_oldest_first_with_their_model_and_those_that_pushed_nothing_left_out(tmp_path: Path) -> None:
    runs = ModelStore(tmp_path)
    first, second = runs.model(files=False), runs.model(files=False)
    ids = [
        runs.pushed(first, "10"),
        runs.pushed(second, "11", pushed=False),
        runs.pushed(second, "12", model_id=second),
    ]
    ids.append(runs.pushed(first, "13", kind="rollback", restores=ids[0]))
    pushes = pushes_of(runs.store, PIPELINE)
    assert [(p.id, p.version, p.model_id, p.kind, p.restores) for p in pushes] == [
        (ids[0], "10", first, "push", None),
        (ids[2], "12", second, "push", None),
        (ids[3], "13", first, "rollback", ids[0]),
    ]
    assert pushes[0].destination == str(runs.serving / "10")
    assert pushes[0].at <= pushes[1].at <= pushes[2].at
    assert pushes_of(runs.store, "another") == []
