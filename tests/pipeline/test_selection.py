"""What `--from` and `--only` ask for."""

import json

import pytest

from data.errors import UserError
from pipeline.selection import Selection, recorded, selection_of

COMPONENTS = ["CsvExampleGen", "Transform", "Trainer", "Evaluator", "Pusher"]


def test_without_the_options_everything_runs() -> None:
    assert selection_of((), (), COMPONENTS) is None


def test_from_and_only_name_components_each_of_them_once() -> None:
    assert selection_of(("Trainer",), (), COMPONENTS) == Selection(("Trainer",), only=False)
    assert selection_of((), ("Pusher", "Trainer", "Pusher"), COMPONENTS) == Selection(("Pusher", "Trainer"), only=True)


@pytest.mark.parametrize(("given", "meant"), [("Evaluater", "Evaluator"), ("trainer", "Trainer"), ("Push", "Pusher")])
def test_a_name_that_is_nearly_one_is_answered_with_that(given: str, meant: str) -> None:
    with pytest.raises(UserError, match=rf"no component '{given}': did you mean {meant}\? There are CsvExampleGen, "):
        selection_of((given,), (), COMPONENTS)


def test_a_name_that_is_like_none_is_answered_with_all() -> None:
    with pytest.raises(UserError, match=r"no component 'Tuner7': there are CsvExampleGen, .*, Pusher$"):
        selection_of((), ("Tuner7",), ["CsvExampleGen", "Transform", "Pusher"])


def test_both_options_together_are_refused() -> None:
    with pytest.raises(UserError, match="--from and --only do not go together"):
        selection_of(("Trainer",), ("Pusher",), COMPONENTS)


@pytest.mark.parametrize("only", [True, False])
def test_a_record_keeps_the_selection(only: bool) -> None:
    selection = Selection(("Trainer", "Evaluator"), only, base="20261127-163000")
    assert recorded(json.loads(json.dumps(selection.record()))) == selection
    assert recorded({}) is None


def test_it_is_told_as_it_was_asked_for() -> None:
    assert str(Selection(("Trainer",), only=False)) == "from Trainer"
    assert str(Selection(("Trainer", "Evaluator"), only=True)) == "only Trainer, Evaluator"
