"""What ML Metadata says of a model's origin."""

from pathlib import Path

from model_store import PIPELINE, ModelStore

from pipeline.lineage import Lineage


def test_the_rows_of_a_model_that_began_with_another_one_s_weights_are_its_own(tmp_path: Path) -> None:
    runs = ModelStore(tmp_path)
    base = runs.model("r1", runs.examples(run="r1"))
    own = runs.examples(["later"], run="r2")
    model = runs.model("r2", own, base=base)
    assert Lineage(runs.store, PIPELINE).raw_examples(model).id == own
