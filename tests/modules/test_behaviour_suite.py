"""What a suite of behaviour tests may say, and what its author is told where it says something else."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from modules.behaviours.check import without_cases
from modules.behaviours.read import SuiteError, built_in_suites, read_suite
from modules.tasks import task_from
from modules.tasks.task import Task

REMEDY = "Mend the file, or set behaviour.tests: null to go on without behaviour tests"


def task(name: str, labels: list[str] | None = None) -> Task:
    return task_from({"task": name, "columns": {}, "labels": labels, "options": {}})


REVIEWS = task("binary", ["rotten", "fresh"])
ENTITIES = task("token_classification", ["person", "place"])
ANSWERS = task("question_answering")


def mft(**changes: Any) -> dict[str, Any]:
    test = {"name": "t", "kind": "minimum_functionality", "texts": ["A joy."], "expect": "fresh", "max_failure_rate": 0}
    return test | changes


def invariance(**changes: Any) -> dict[str, Any]:
    test = {"name": "t", "kind": "invariance", "texts": ["A joy."], "change": {"typos": 1}, "max_failure_rate": 0}
    return test | changes


def directional(**changes: Any) -> dict[str, Any]:
    test = {
        "name": "t",
        "kind": "directional",
        "texts": ["A joy."],
        "change": {"add": " Truly."},
        "label": "fresh",
        "expect": "up",
        "max_failure_rate": 0,
    }
    return test | changes


def write(folder: Path, *tests: Any, **others: Any) -> str:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({"tests": list(tests), **others}), encoding="utf-8")
    return str(path)


def problems(source: str, for_task: Task = REVIEWS) -> list[str]:
    with pytest.raises(SuiteError) as raised:
        read_suite(source, for_task)
    heading, *lines, remedy = str(raised.value).split("\n")
    assert heading == f"{source}: {len(lines)} problem" + "s" * (len(lines) != 1)
    assert remedy == REMEDY
    return [line.removeprefix("  ") for line in lines]


def test_a_suite_is_read_as_it_was_written_and_goes_by_its_file_s_name(tmp_path: Path) -> None:
    suite = read_suite(write(tmp_path, mft(), invariance(name="u"), directional(name="v")), REVIEWS)
    assert (suite.name, suite.max_cases, suite.rows) == ("mine", 200, 0)
    assert [(test.name, test.kind) for test in suite.tests] == [
        ("t", "minimum_functionality"),
        ("u", "invariance"),
        ("v", "directional"),
    ]
    assert read_suite(write(tmp_path, mft(), name="praise"), REVIEWS).name == "praise"


def test_the_same_content_under_another_path_is_the_same_to_the_cache(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    files = [write(folder, mft(), invariance(name="u", rows=5)) for folder in (tmp_path, tmp_path / "other")]
    first, second = (read_suite(file, REVIEWS).model_dump_json(exclude_none=True) for file in files)
    assert first == second
    assert type(read_suite(files[0], REVIEWS)).model_validate_json(first) == read_suite(files[0], REVIEWS)


@pytest.mark.parametrize(("name", "labels"), [("reviews", ["rotten", "fresh"]), ("quora", ["0", "1"])])
def test_the_built_in_suites_fit_their_data_and_have_tests_of_all_kinds(name: str, labels: list[str]) -> None:
    assert name in built_in_suites()
    suite = read_suite(name, task("binary", labels))
    assert suite.name == name
    assert {test.kind for test in suite.tests} == {"minimum_functionality", "invariance", "directional"}
    assert without_cases(suite, task("binary", labels), [("How is it, really?",)]) == []


def test_all_problems_of_shape_are_told_together_with_test_key_value_and_remedy(tmp_path: Path) -> None:
    source = write(
        tmp_path,
        mft(name="a", kind="minimal"),
        mft(name="b", texts="A joy.", expect=True, max_failure_rate=2),
        invariance(name="c", change={"typo": 1, "typos": 0}, row=3),
        {"name": "d", "kind": "directional", "texts": ["x"], "change": {"add": " y"}, "expect": "more", "label": "1"},
        "a string",
        {"kind": "invariance", "texts": ["x"], "change": {}, "max_failure_rate": 0},
        lexicons={"adj": ["good", False]},
        max_case=3,
    )
    yes_or_no = "YAML reads unquoted yes, no, true and false as booleans: put quotes around it"
    kinds = "typos, case, punctuation, swap, replace, add, prepend"
    assert sorted(problems(source)) == sorted(
        [
            f"lexicons.adj.1 is False: {yes_or_no}",
            "test 'a': kind is 'minimal': it should be one of minimum_functionality, invariance, directional",
            "test 'b': texts is 'A joy.': it should be a valid list",
            f"test 'b': expect is True: {yes_or_no}",
            "test 'b': max_failure_rate is 2: it should be less than or equal to 1",
            "test 'c': change.typos is 0: it should be greater than or equal to 1",
            "test 'c': change.typo: unknown key; did you mean 'typos'?",
            "test 'c': row: unknown key; did you mean 'rows'?",
            "test 'd': max_failure_rate: missing; it is needed",
            "test 'd': expect is 'more': it should be 'up' or 'down'",
            "test 5: is 'a string': it should be a mapping, such as {key: value}",
            "test 6: name: missing; it is needed",
            f"test 6: change is {{}}: a change is one of {kinds}; nothing is given",
            "max_case: unknown key; did you mean 'max_cases'?",
        ]
    )


def test_a_near_kind_is_proposed(tmp_path: Path) -> None:
    [problem] = problems(write(tmp_path, invariance(kind="invariant")))
    assert problem.endswith(
        "it should be one of minimum_functionality, invariance, directional; did you mean 'invariance'?"
    )


@pytest.mark.parametrize(
    ("test", "problem"),
    [
        (mft(expect="good"), "expect is 'good': it should be one of the labels 'rotten', 'fresh'"),
        (directional(label="good"), "label is 'good': the labels are 'rotten', 'fresh'"),
        (mft(expect=None), "expect: missing; give the answer to 'A joy.'"),
        (mft(texts=[]), "texts or templates: missing; one of them is needed"),
        (invariance(texts=[]), "texts, templates or rows: missing; one of them is needed"),
        (mft(texts=["  "]), "texts: '  ': a text is empty; write one or leave it out"),
        (
            mft(texts=[{"question": "x"}]),
            "texts: {'question': 'x'} does not fit; the task binary takes {text: ...} or a text alone",
        ),
        (
            mft(templates=["A {adj} {film}."], lexicons={"adj": ["fine"]}),
            "templates: 'A {adj} {film}.': no lexicon 'film' for the slot {film}; known: adj",
        ),
        (
            mft(templates=["A {adj!r} film."]),
            "templates: 'A {adj!r} film.': a slot is a name in braces, as in {adj}; write {{ and }} for braces"
            " themselves",
        ),
        (mft(templates=["A {adj"]), "templates: 'A {adj': expected '}' before end of string"),
        (
            invariance(change={"swap": "nouns"}, lexicons={"names": ["Ada", "Bo"]}),
            "change.swap is 'nouns': give a list of two words or more, or the name of a lexicon (names)",
        ),
        (invariance(change={"typos": 1, "input": "context"}), "change.input is 'context': the task binary has text"),
        (
            directional(change={"replace": {"good": "bad"}}),
            "change: it leaves every text as it is; change what occurs in the texts, written as it is there",
        ),
    ],
)
def test_what_does_not_fit_the_task_or_itself_is_told(test: dict[str, Any], problem: str, tmp_path: Path) -> None:
    assert problems(write(tmp_path, test)) == [f"test 't': {problem}"]


@pytest.mark.parametrize("of", [ENTITIES, ANSWERS], ids=lambda of: of.name)
def test_what_needs_a_label_s_probability_is_refused_where_labels_have_none(of: Task, tmp_path: Path) -> None:
    text = dict.fromkeys(of.inputs, "some text")
    none = f"the task {of.name} gives no label a probability"
    assert problems(write(tmp_path, directional(texts=[text])), of) == [
        f"test 't': kind is 'directional': {none}; use minimum_functionality or invariance"
    ]
    assert problems(write(tmp_path, invariance(texts=[text], tolerance=0.1)), of) == [
        f"test 't': tolerance is 0.1: {none}; leave it out"
    ]
    read_suite(write(tmp_path, invariance(texts=[text])), of)


def test_expected_entities_must_be_of_known_types(tmp_path: Path) -> None:
    [problem] = problems(write(tmp_path, mft(expect="person Ada; city Leeds")), ENTITIES)
    assert problem == (
        "test 't': expect is 'person Ada; city Leeds': 'city' is no type; write 'TYPE text; TYPE text' with the types"
        " person, place"
    )
    read_suite(write(tmp_path, mft(name="t", expect="person Ada; place Leeds"), mft(name="none", expect="")), ENTITIES)


def test_labels_are_not_checked_before_the_data_have_told_them(tmp_path: Path) -> None:
    read_suite(write(tmp_path, mft(expect="whatever")), task("multiclass"))


def test_unquoted_numbers_are_labels(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "tests: [{name: 1, kind: minimum_functionality, texts: [2001], expect: 0, max_failure_rate: 0}]"
    )
    [test] = read_suite(str(tmp_path / "mine.yaml"), task("binary", ["0", "1"])).tests
    assert (test.name, test.texts, test.expect) == ("1", [{"": "2001"}], "0")


def test_two_tests_of_one_name_are_told(tmp_path: Path) -> None:
    assert problems(write(tmp_path, mft(), invariance())) == ["test 't': 2 tests have this name; give each its own"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tests: [", r"mine\.yaml: this is not valid YAML: "),
        ("- a list", r"mine\.yaml: expected a mapping with the key tests, found \['a list'\]"),
        ("", r"mine\.yaml: expected a mapping with the key tests, found None"),
    ],
)
def test_a_file_that_is_no_suite_is_told(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(SuiteError, match=message):
        read_suite(str(tmp_path / "mine.yaml"), REVIEWS)


def test_a_name_that_is_no_suite_is_told_with_what_there_is() -> None:
    with pytest.raises(SuiteError) as raised:
        read_suite("/somewhere/revews", REVIEWS)
    assert str(raised.value) == (
        "behaviour.tests is '/somewhere/revews': it is neither a built-in suite (quora, reviews) nor a file;"
        " did you mean 'reviews'?"
    )


def test_a_test_whose_change_finds_nothing_in_the_rows_is_told(tmp_path: Path) -> None:
    suite = read_suite(write(tmp_path, invariance(texts=[], rows=9, change={"swap": ["he", "she"]})), REVIEWS)
    assert without_cases(suite, REVIEWS, [("so he said",)]) == []
    [problem] = without_cases(suite, REVIEWS, [("the shell",), ("a hero",)])
    assert problem.startswith("test 't': rows: the change leaves all of the eval split's 2 rows as they are;")
