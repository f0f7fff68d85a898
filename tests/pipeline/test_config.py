"""What a configuration file may say, and what the user is told where it says something else."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config import Config
from pipeline.config_file import BUILT_IN_FOLDER, ConfigError, built_in_names, load_config, schema_place
from pipeline.store_address import SqliteFile

MINIMAL: dict[str, Any] = {"name": "mine", "data": {"path": "rows.csv", "labels": ["no", "yes"]}}


def write(folder: Path, text: str | None = None, **sections: Any) -> str:
    """A configuration file: `text`, or the least there can be with these sections in place of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "mine.yaml"
    path.write_text(text if text is not None else yaml.safe_dump(MINIMAL | sections), encoding="utf-8")
    return str(path)


def problems(source: str, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        load_config(source, overrides)
    heading, *lines = str(raised.value).split("\n")
    assert heading == f"{source}: {len(lines)} problem" + "s" * (len(lines) != 1)
    return [line.removeprefix("  ") for line in lines]


def test_the_least_there_can_be_gets_the_documented_defaults(tmp_path: Path) -> None:
    config = load_config(write(tmp_path))
    assert (config.task, config.data.columns) == ("binary", {})
    assert config.make_task().columns == {"text": "text", "label": "label"}
    assert config.task_options.model_dump() == {"threshold_goal": "best_f1", "threshold_target": None}
    assert config.data.splits.model_dump() == {"train": 0.8, "eval": 0.2}
    assert config.encoder.handle == "minilm"
    assert config.preprocessing.max_seq_length == 128
    assert config.orchestration.cache is True


def test_all_problems_are_told_together_with_key_value_and_remedy(tmp_path: Path) -> None:
    source = write(
        tmp_path,
        name="no spaces",
        data={"path": "rows.csv", "labels": ["a", "a"], "splits": {"train": 0.8, "eval": 0.3}, "on_bad_rows": "skip"},
        task_options={"threshold_goal": "precision_at_recall"},
        training={"epochs": 0, "learning_rate": "fast", "batchsize": 8},
        evaluation={"length_buckets": [20, 10], "min": {"precision": 2}},
    )
    assert problems(source, "training.seed") == [
        "--set training.seed: expected key=value, for example --set training.epochs=1",
        "name is 'no spaces': String should match pattern '^[A-Za-z0-9][A-Za-z0-9_-]*$'",
        "task_options: threshold_target is needed for precision_at_recall and recall_at_precision, and for them alone",
        "data.labels is ['a', 'a']: the labels must differ, 'a' is there more than once",
        "data.splits: train and eval must add up to 1, they add up to 1.1",
        "data.on_bad_rows is 'skip': it should be 'error' or 'quarantine'",
        "training.epochs is 0: it should be greater than or equal to 1",
        "training.learning_rate is 'fast': it should be a valid number, unable to parse string as a number",
        "training.batchsize: unknown key; did you mean 'batch_size'?",
        "evaluation.min.precision is 2: it should be less than or equal to 1",
        "evaluation.length_buckets is [20, 10]: must be rising word counts of at least 1",
    ]


def test_missing_keys_are_named(tmp_path: Path) -> None:
    assert problems(write(tmp_path, "data: {columns: {text: t}}")) == [
        "name: missing; it is needed",
        "data.path: missing; it is needed",
    ]
    assert problems(write(tmp_path, "name: mine\ndata: {path: rows.csv}")) == [
        "data.labels: missing; the task binary needs its two labels, the negative class first"
    ]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("trainning", "trainning: unknown key; did you mean 'training'?"),
        ("data.colums", "data.colums: unknown key; did you mean 'columns'?"),
        ("task_option.zzz", "task_option: unknown key; did you mean 'task_options'?"),
        ("data.sample.trian", "data.sample.trian: unknown key; did you mean 'train'?"),
        ("task_options.threshold_gaol", "task_options.threshold_gaol: unknown key; did you mean 'threshold_goal'?"),
        ("evaluation.max_drops", "evaluation.max_drops: unknown key; did you mean 'max_drop'?"),
        ("push.zzz", "push.zzz: unknown key; known are folder"),
    ],
)
def test_an_unknown_key_is_told_with_the_nearest_known_one(key: str, message: str, tmp_path: Path) -> None:
    assert message in problems(write(tmp_path), f"{key}=1")


def test_unquoted_yes_and_no_are_told_to_be_quoted(tmp_path: Path) -> None:
    source = write(tmp_path, "name: mine\ndata: {path: rows.csv, labels: [no, yes]}")
    assert problems(source) == [
        "data.labels is [False, True]: YAML reads unquoted yes, no, true and false as booleans: put quotes around the"
        " labels"
    ]


def test_numbers_as_labels_become_the_text_that_a_csv_holds(tmp_path: Path) -> None:
    text = "name: mine\ndata: {path: rows.csv, labels: [0, 1], ignore_labels: [2, -1]}"
    data = load_config(write(tmp_path, text)).data
    assert (data.labels, data.ignore_labels) == (("0", "1"), ("2", "-1"))


@pytest.mark.parametrize("labels", [["a", "b", "c"], ["a"]])
def test_two_classes_have_two_labels_and_more_are_another_task(labels: list[str], tmp_path: Path) -> None:
    source = write(tmp_path, data={"path": "rows.csv", "labels": labels})
    assert problems(source) == [
        f"data.labels is {labels}: the task binary has two labels; for more set task: multiclass"
    ]


def test_several_classes_may_leave_their_labels_to_the_data_but_not_have_one(tmp_path: Path) -> None:
    source = write(tmp_path, task="multiclass", data={"path": "rows.csv"})
    assert load_config(source).make_task().labels is None
    assert load_config(source).make_task(["x", "y", "z"]).labels == ("x", "y", "z")
    assert load_config(source, ["data.labels=[a, b, c]"]).make_task().labels == ("a", "b", "c")
    assert problems(source, "data.labels=[a]") == [
        "data.labels is ['a']: give two labels or more, or leave it out to take the data's"
    ]


def test_a_label_cannot_be_ignored_too(tmp_path: Path) -> None:
    both = {"path": "rows.csv", "labels": ["a", "b"], "ignore_labels": ["b"]}
    assert problems(write(tmp_path, data=both)) == ["data: ['b'] cannot be in labels and in ignore_labels"]


def test_two_roles_cannot_have_one_column_but_a_group_may_be_any(tmp_path: Path) -> None:
    def columns(**given: str) -> str:
        return write(tmp_path, data={**MINIMAL["data"], "columns": given})

    assert problems(columns(text="t", id="t")) == ["data.columns: 't' cannot be two of text, label, id"]
    assert problems(columns(text="label")) == ["data.columns: 'label' cannot be two of text, label"]
    assert load_config(columns(text="t", group="t")).data.columns == {"text": "t", "group": "t"}


def test_a_role_that_the_task_has_not_is_told_with_those_it_has(tmp_path: Path) -> None:
    source = write(tmp_path, data={**MINIMAL["data"], "columns": {"txt": "body", "context": "page"}})
    assert problems(source) == [
        "data.columns.context: the task binary has no such role; known are text, label, id, group",
        "data.columns.txt: the task binary has no such role; known are text, label, id, group",
    ]


@pytest.mark.parametrize(
    ("task", "hint"), [("multi-class", "; did you mean 'multiclass'?"), ("translation", ""), ("Binary", "binary")]
)
def test_an_unknown_task_is_told_with_the_known_ones(task: str, hint: str, tmp_path: Path) -> None:
    [problem] = problems(write(tmp_path, task=task))
    known = "binary, multiclass, token_classification, question_answering"
    assert problem.startswith(f"task is {task!r}: it should be one of {known}")
    assert hint in problem
    assert ("did you mean" in problem) == bool(hint)


@pytest.mark.parametrize("task", [["binary"], {"name": "binary"}, 3])
def test_a_task_that_is_no_name_is_told(task: object, tmp_path: Path) -> None:
    [problem] = problems(write(tmp_path, task=task))
    assert problem.startswith("task")
    assert problem.endswith(": it should be a valid string")


def test_options_of_another_task_are_refused_by_key(tmp_path: Path) -> None:
    assert problems(write(tmp_path), "task_options.decision=one_vs_rest") == [
        "task_options.decision: unknown key; known are threshold_goal, threshold_target"
    ]
    several = write(tmp_path, task="multiclass")
    options = load_config(several, ["task_options.decision=one_vs_rest"]).make_task().options
    assert options.model_dump() == {"decision": "one_vs_rest", "threshold_goal": "best_f1", "threshold_target": None}
    assert problems(
        several, "task_options.threshold_goal=recall_at_precision", "task_options.threshold_target=0.5"
    ) == ["task_options: threshold_goal is for decision: one_vs_rest"]


def test_metrics_that_the_task_has_not_are_told_with_those_it_has_and_with_all_else(tmp_path: Path) -> None:
    source = write(
        tmp_path,
        data={"path": "rows.csv", "columns": {"body": "b"}},
        evaluation={
            "min": {"macro_f1": 0.5, "f1": 0.5},
            "max_drop": {"auc": 0.1},
            "slice_min": {"auc": 0.1},
        },
    )
    metrics = "the task binary has the metrics roc_auc, f1, pr_auc, precision, recall, accuracy"
    assert problems(source) == [
        "data.columns.body: the task binary has no such role; known are text, label, id, group",
        f"evaluation.min.macro_f1: {metrics}",
        f"evaluation.max_drop.auc: {metrics}",
        f"evaluation.slice_min.auc: {metrics}",
        "data.labels: missing; the task binary needs its two labels, the negative class first",
    ]


def test_weights_are_of_labels_that_there_are_and_of_tasks_that_weigh_labels(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, training={"class_weights": {"yes": 9}, "focal_gamma": 2}))
    assert config.training.class_weights == {"yes": 9.0}
    assert load_config(write(tmp_path, training={"class_weights": {"yes": "1e2"}})).training.class_weights == {
        "yes": 100
    }
    assert load_config(write(tmp_path, training={"class_weights": "balanced"})).training.class_weights == "balanced"
    numbers = write(tmp_path, data={"path": "rows.csv", "labels": [0, 1]}, training={"class_weights": {1: 4}})
    assert load_config(numbers).training.class_weights == {"1": 4.0}
    assert problems(write(tmp_path, training={"class_weights": {"maybe": 2, "yes": 1}})) == [
        "training.class_weights.maybe: there is no such label; there are 'no', 'yes'"
    ]
    for given, told in (
        ("equal", " is 'equal': it should be balanced, or a weight by label, such as {yes: 5}"),
        ({"yes": 0}, ": the weight of 'yes' is 0: it should be a number greater than 0"),
        ({"yes": "much"}, ": the weight of 'yes' is 'much': it should be a number greater than 0"),
        ({"yes": True}, ": the weight of 'yes' is True: it should be a number greater than 0"),
        ({True: 3}, ": YAML reads unquoted yes, no, true and false as booleans: put quotes around the labels"),
    ):
        assert problems(write(tmp_path, training={"class_weights": given})) == [f"training.class_weights{told}"]
    entities = write(
        tmp_path,
        task="token_classification",
        data={"path": "rows.csv"},
        training={"class_weights": "balanced", "focal_gamma": 1},
    )
    assert problems(entities) == [
        "training.class_weights: the task token_classification does not weigh labels; binary and multiclass do",
        "training.focal_gamma: the task token_classification does not weigh labels; binary and multiclass do",
    ]


def test_metrics_and_slices_of_the_task_are_taken(tmp_path: Path) -> None:
    evaluation = {"min": {"macro_f1": 0.6}, "max_drop": {"accuracy": 0.02}, "slices": ["label"]}
    source = write(tmp_path, task="multiclass", data={"path": "rows.csv"}, evaluation=evaluation)
    found = load_config(source).evaluation
    assert (found.min, found.max_drop, found.slices) == ({"macro_f1": 0.6}, {"accuracy": 0.02}, ("label",))


def test_slices_are_those_of_the_task_unless_given_and_each_is_named_once(tmp_path: Path) -> None:
    data = {"path": "rows.csv"}
    assert load_config(write(tmp_path, task="multiclass", data=data)).slices == ("length_bucket", "first_word")
    given = ["label*source", "source"]
    source = write(tmp_path, task="multiclass", data=data, evaluation={"slices": given})
    assert load_config(source).slices == tuple(given)
    for slices, problem in (
        (["source", "source"], "names a slice twice"),
        (["label*"], "a slice is a name, or names with * between them, as in label*source"),
    ):
        source = write(tmp_path, task="multiclass", data=data, evaluation={"slices": slices})
        assert problems(source) == [f"evaluation.slices is {slices!r}: {problem}"]


def test_of_a_limit_that_is_given_in_part_the_rest_stays_as_it_is(tmp_path: Path) -> None:
    data = {"path": "rows.csv", "drift": {"label": {"action": "warn"}}, "faults": {"duplicates": {"max_share": 0.5}}}
    found = load_config(
        write(tmp_path, task="multiclass", data=data),
        ["data.faults.very_long.action=off", "data.skew.words.jensen_shannon=0.5"],
    ).data
    assert found.drift.by_feature()["label"] == {"jensen_shannon": None, "l_infinity": 0.08, "action": "warn"}
    assert found.drift.by_feature()["words"]["action"] == "stop"
    assert (found.faults.duplicates.max_share, found.faults.duplicates.action) == (0.5, "warn")
    assert (found.faults.very_long.max_share, found.faults.very_long.action) == (0.01, "off")
    assert found.skew.by_feature()["words"] == {"jensen_shannon": 0.5, "l_infinity": None, "action": "warn"}


def test_an_eval_file_of_its_own_cannot_go_with_a_sample_of_one_file(tmp_path: Path) -> None:
    source = write(tmp_path, data={**MINIMAL["data"], "eval_path": "../dev.csv"})
    assert load_config(source).data.eval_path == str(tmp_path / "../dev.csv")
    assert problems(source, "data.sample.train=0.1", "data.sample.eval=0.1") == [
        "data: sample parts one file, so it cannot go with eval_path"
    ]


def test_a_target_goes_with_the_goals_that_need_one_alone(tmp_path: Path) -> None:
    message = (
        "task_options: threshold_target is needed for precision_at_recall and recall_at_precision, and for them alone"
    )
    for task in ("binary", "multiclass"):
        source = write(tmp_path, task=task)
        assert problems(source, "task_options.threshold_target=0.5") == [message]
        assert problems(source, "task_options.threshold_goal=recall_at_precision") == [message]
    both = ["task_options.threshold_goal=recall_at_precision", "task_options.threshold_target=0.5"]
    options = load_config(write(tmp_path), both).make_task().options.model_dump()
    assert options == {"threshold_goal": "recall_at_precision", "threshold_target": 0.5}


def test_the_options_are_kept_in_the_settings_of_a_run(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, task="multiclass"), ["task_options.decision=one_vs_rest"])
    assert config.model_dump(mode="json")["task_options"]["decision"] == "one_vs_rest"


def test_overrides_reach_any_depth_and_win_over_the_file(tmp_path: Path) -> None:
    source = write(tmp_path, training={"epochs": 3, "batch_size": 4}, data={**MINIMAL["data"], "columns": {"id": "id"}})
    overrides = [
        "training.epochs=7",
        "data.splits.train=0.6",
        "data.splits.eval=0.4",
        "data.columns.text=body",
        "data.labels=[bad, good]",
        "evaluation.length_buckets=[5, 50]",
        "name=other",
        "training.epochs=8",
    ]
    config = load_config(source, overrides)
    assert (config.training.epochs, config.training.batch_size) == (8, 4)
    assert config.data.splits.model_dump() == {"train": 0.6, "eval": 0.4}
    assert config.data.columns == {"id": "id", "text": "body"}
    assert config.data.labels == ("bad", "good")
    assert config.evaluation.length_buckets == (5, 50)
    assert config.name == "other"


def test_an_override_may_hold_an_equals_sign(tmp_path: Path) -> None:
    assert load_config(write(tmp_path), ["data.columns.text=a=b"]).data.columns["text"] == "a=b"


def test_a_section_is_replaced_by_null_where_it_may_be(tmp_path: Path) -> None:
    source = write(tmp_path, data={**MINIMAL["data"], "sample": {"train": 0.1, "eval": 0.1}})
    assert load_config(source).data.sample is not None
    assert load_config(source, ["data.sample=null"]).data.sample is None


@pytest.mark.parametrize("override", ["training.epochs", "=3", ""])
def test_an_override_of_a_wrong_form_is_told_with_an_example(override: str, tmp_path: Path) -> None:
    assert problems(write(tmp_path), override) == [
        f"--set {override}: expected key=value, for example --set training.epochs=1"
    ]


def test_relative_paths_start_at_the_file_s_folder_and_those_of_overrides_at_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    source = write(
        tmp_path / "there",
        data={**MINIMAL["data"], "schema_file": "schema.pbtxt"},
        preprocessing={"vocab_file": "../vocab.txt"},
        push={"folder": "serving"},
        orchestration={"metadata_path": "store/metadata.db"},
    )
    config = load_config(source, ["push.folder=pushed"])
    there = tmp_path / "there"
    assert config.data.path == str(there / "rows.csv")
    assert config.data.schema_file == str(there / "schema.pbtxt")
    assert config.preprocessing.vocab_file == str(there / "../vocab.txt")
    assert config.metadata == SqliteFile(there / "store" / "metadata.db")
    assert config.artifact_root == there / "output" / "mine"
    assert config.push_folder == here / "pushed"
    assert load_config(source, base=tmp_path).data.path == str(there / "rows.csv")
    assert load_config(source, ["push.folder=pushed"], base=tmp_path).push_folder == tmp_path / "pushed"


def test_a_frozen_schema_beside_the_file_is_found_unless_another_or_none_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = write(tmp_path / "there")
    assert load_config(source).data.schema_file is None
    assert schema_place(source, load_config(source)) == tmp_path / "there" / "data" / "schemas" / "mine.pbtxt"
    for folder, name in (("there", "mine"), (".", "mine"), (".", "reviews")):
        frozen = tmp_path / folder / "data" / "schemas" / f"{name}.pbtxt"
        frozen.parent.mkdir(parents=True, exist_ok=True)
        frozen.touch()
    found = load_config(source)
    assert found.data.schema_file == str(tmp_path / "there" / "data" / "schemas" / "mine.pbtxt")
    assert schema_place(source, found) == Path(found.data.schema_file)
    assert load_config(source, ["name=other"]).data.schema_file is None
    assert load_config(source, ["data.schema_file=null"]).data.schema_file is None
    assert load_config(source, ["data.schema_file=my.pbtxt"]).data.schema_file == str(tmp_path / "my.pbtxt")
    # A built-in configuration's is in the current folder.
    assert load_config("reviews").data.schema_file == str(tmp_path / "data" / "schemas" / "reviews.pbtxt")
    assert load_config("reviews", base=tmp_path / "there").data.schema_file is None


def test_where_things_go_by_default_and_by_setting(tmp_path: Path) -> None:
    config = load_config(write(tmp_path))
    root = tmp_path / "output" / "mine"
    assert (config.artifact_root, config.metadata) == (root, SqliteFile(root / "metadata.db"))
    assert config.push_folder == root / "serving" / "mine"
    moved = load_config(write(tmp_path), [f"orchestration.artifact_root={tmp_path}/elsewhere"])
    assert moved.artifact_root == tmp_path / "elsewhere"
    assert moved.push_folder == tmp_path / "elsewhere" / "serving" / "mine"


def test_paths_that_are_absolute_urls_or_in_a_package_stay_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    for path, expected in [
        ("/data/rows.csv", "/data/rows.csv"),
        ("package://scattertext/data/x.csv", "package://scattertext/data/x.csv"),
        ("~/rows.csv", "/home/somebody/rows.csv"),
    ]:
        assert load_config(write(tmp_path, data={**MINIMAL["data"], "path": path})).data.path == expected


def test_an_encoder_handle_becomes_a_path_only_where_it_names_a_folder(tmp_path: Path) -> None:
    (tmp_path / "my_bert").mkdir()
    (tmp_path / "minilm").mkdir()

    def handle(value: str) -> str:
        return load_config(write(tmp_path, encoder={"handle": value})).encoder.handle

    assert handle("my_bert") == str(tmp_path / "my_bert")
    assert handle("minilm") == "minilm"
    assert handle("https://tfhub.dev/a/bert/1") == "https://tfhub.dev/a/bert/1"


def test_a_built_in_configuration_puts_its_output_under_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config("reviews").artifact_root == tmp_path / "output" / "reviews"
    assert load_config("quora").data.path == str(tmp_path / "train.csv")


def test_every_built_in_configuration_loads() -> None:
    assert built_in_names() == ["answers", "entities", "genres", "quora", "reviews"]
    for name in built_in_names():
        assert load_config(name).name == name
        assert (BUILT_IN_FOLDER / f"{name}.yaml").read_text(encoding="utf-8").startswith("#")


def test_quora_is_the_reference_recipe() -> None:
    config = load_config("quora")
    assert config.preprocessing.max_seq_length == 128
    training = config.training
    assert (training.batch_size, training.learning_rate, training.dropout, training.epochs) == (32, 2e-5, 0.5, 5)
    data = config.data
    assert data.columns == {"text": "question_text", "label": "target", "id": "qid"}
    assert data.labels == ("0", "1")
    assert data.sample is not None
    assert (data.sample.train, data.sample.eval) == (0.1, 0.01)


def test_a_name_that_is_no_configuration_is_told_with_what_there_is() -> None:
    with pytest.raises(ConfigError) as raised:
        load_config("review")
    assert str(raised.value) == (
        "no configuration 'review': it is neither built in (answers, entities, genres, quora, reviews) nor a file;"
        " did you mean 'reviews'?"
        " (tfx-bert init FILE.csv writes one for your data)"
    )


def test_a_data_file_in_place_of_a_configuration_is_told_with_the_command_to_use(sample_csv: Path) -> None:
    with pytest.raises(ConfigError, match=rf"is a \.yaml file; for a data file, run: tfx-bert init {sample_csv}$"):
        load_config(str(sample_csv))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", "this is not valid YAML: "),
        ("- a list", r"expected a mapping with the keys name and data, found \['a list'\]"),
        ("", "expected a mapping with the keys name and data, found None"),
    ],
)
def test_a_file_that_is_no_mapping_is_told(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"mine.yaml: {message}"):
        load_config(write(tmp_path, text))


def test_a_file_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(b"name: caf\xe9")
    with pytest.raises(ConfigError, match=r"this is not valid YAML: .*utf-8"):
        load_config(str(tmp_path / "mine.yaml"))


def test_a_section_that_is_no_mapping_is_told(tmp_path: Path) -> None:
    [problem] = problems(write(tmp_path, training=3))
    assert problem.startswith("training is 3: it should be a mapping, such as {key: value}")


def test_a_configuration_cannot_be_changed_once_it_is_read(tmp_path: Path) -> None:
    config: Config = load_config(write(tmp_path))
    with pytest.raises(ValueError, match="frozen"):
        config.training.epochs = 3


def test_what_the_whole_finds_wrong_is_told_with_what_is_wrong_by_itself(tmp_path: Path) -> None:
    found = problems(write(tmp_path, training={"epochs": 0}, evaluation={"min": {"rouge": 1}}))
    assert [line.split(" ")[0] for line in found] == ["training.epochs", "evaluation.min.rouge:"]


def test_an_override_replaces_a_mapping_and_leaves_the_rest_of_its_section(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(
        "name: c\ndata: {path: t, labels: [a, b], columns: {text: words, id: key}, splits: {train: 0.7, eval: 0.3}}\n"
    )
    config = load_config(str(file), ["data.columns={label: y}"])
    assert config.data.columns == {"label": "y"}
    assert config.data.splits.train == 0.7
    assert load_config(str(file), ["data.columns={}"]).data.columns == {}
