"""A BERT small enough for tests, exported by the product's own exporter: python tests/tiny_encoder.py OUT WORDSFILE

It is built in a process of its own, as Keras 3 (KerasHub) and tf_keras are kept apart in the product, too.
"""

import string
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
HIDDEN = 32
MAX_TOKENS = 64


def export_tiny_encoder(folder: Path, words: Iterable[str]) -> Path:
    """Export a random, seeded, lower-casing BERT (2 layers, 32 wide, 64 positions) to the new folder `folder`.

    Its vocabulary is the special tokens, single characters with and without ##, and `words`: every text in these
    characters can be told from every other, and the words are one token each.
    """
    with tempfile.TemporaryDirectory() as scratch:
        words_file = Path(scratch, "words.txt")
        words_file.write_text("\n".join(words), encoding="utf-8")
        subprocess.run([sys.executable, __file__, str(folder), str(words_file)], check=True)
    return folder


def vocabulary_of(words: Iterable[str]) -> list[str]:
    """The tokens of the tiny encoder in order of their ids, without repetition."""
    characters = string.ascii_lowercase + string.digits + string.punctuation
    pieces = [prefix + character for prefix in ("", "##") for character in characters]
    return list(dict.fromkeys([*SPECIAL_TOKENS, *pieces, *(word.lower() for word in words if word)]))


def _build_and_export(folder: Path, words: list[str]) -> None:
    from data.encoder_export import export_encoder, quiet_keras_import

    with quiet_keras_import():
        import keras
        import keras_hub

    keras.utils.set_random_seed(7)
    vocabulary = vocabulary_of(words)
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=len(vocabulary),
        num_layers=2,
        num_heads=2,
        hidden_dim=HIDDEN,
        intermediate_dim=2 * HIDDEN,
        max_sequence_length=MAX_TOKENS,
    )
    for variable in backbone.trainable_variables:
        if variable.path.endswith("kernel"):
            variable.assign(variable * 8)  # the initial spread suits 768 wide; at 32 every text would look alike
    with tempfile.TemporaryDirectory() as preset:
        backbone.save_to_preset(preset)
        keras_hub.models.BertTokenizer(vocabulary=vocabulary, lowercase=True).save_to_preset(preset)
        export_encoder(preset, folder)


if __name__ == "__main__":
    sys.path.insert(0, str(PROJECT))  # before tests/, whose folder data/ would otherwise be found as `data`
    _build_and_export(Path(sys.argv[1]), Path(sys.argv[2]).read_text(encoding="utf-8").split("\n"))
