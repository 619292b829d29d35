"""Pretrained sentence encoders: the real packages, one of them with a tiny model of random weights."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from shortlist.dataset import text_vectors
from shortlist.dataset.text_encoders import open_encoder
from shortlist.dataset.text_encoders.cache import encode_cached
from shortlist.dataset.text_vectors import sentence_vectors
from shortlist.recipe import WORDLLAMA, Text
from shortlist.recipe.model import UserFeatures

TEXTS = ["", "wood glue", "strong adhesive for timber", "violin strings", "strings of a guitar", "a cello"]
TRAINED = np.array([False, True, True, True, True, False])


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sentence-transformers model with random weights and a vocabulary of letters."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("model")
    letters = [*"abcdefghijklmnopqrstuvwxyz"]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{one}" for one in letters)]
    (folder / "vocab.txt").write_text("\n".join(words))
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(folder / "bert")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder / "bert")
    bert = Transformer(str(folder / "bert"))
    SentenceTransformer(modules=[bert, Pooling(16)], device="cpu").save(str(folder / "whole"))
    return folder / "whole"


def vectors(encoder: str, dim: int, texts: list[str] = TEXTS) -> NDArray[np.float32]:
    spec = Text(columns=["title"], encoder=encoder, dim=dim)
    return sentence_vectors(texts, TRAINED[: len(texts)], spec, 0, "features.item.text")


@pytest.mark.parametrize("dim", [256, 4])
def test_wordllama_needs_no_download_and_knows_words_that_training_has_not(dim: int) -> None:
    found = vectors(WORDLLAMA, dim)
    assert not found[0].any()
    np.testing.assert_allclose(np.linalg.norm(found[1:], axis=1), np.sqrt(dim), rtol=1e-4)
    cosines = found @ found.T / dim
    assert cosines[5, [3, 4]].min() > cosines[5, [1, 2]].max()  # a cello is like a violin


def test_a_folder_of_sentence_transformers_is_read(model: Path) -> None:
    found = vectors(str(model), 16)
    assert found.shape == (6, 16)
    assert not found[0].any()
    np.testing.assert_array_equal(found, vectors(str(model), 16))


def test_texts_are_encoded_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[str] = []

    class Letters:
        identity, width = "letters", 2

        def encode(self, texts: list[str]) -> NDArray[np.float32]:
            asked.extend(texts)
            return np.array([[len(text), text.count("a")] for text in texts], np.float32)

    expected = Letters().encode(["banana", "kiwi", "banana", "fig", "a"])
    asked.clear()
    found = encode_cached(Letters(), ["banana", "kiwi", "banana"], tmp_path)
    assert sorted(asked) == ["banana", "kiwi"]
    np.testing.assert_array_equal(found, expected[:3])
    found = encode_cached(Letters(), ["banana", "kiwi", "banana", "fig", "a"], tmp_path)
    assert sorted(asked) == ["a", "banana", "fig", "kiwi"]
    np.testing.assert_array_equal(found, expected)
    monkeypatch.setattr(Letters, "identity", "other letters")
    encode_cached(Letters(), ["fig"], tmp_path)
    assert asked.count("fig") == 2


def test_a_broken_cache_is_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encoder = open_encoder(WORDLLAMA, "features.item.text")
    expected = encode_cached(encoder, TEXTS, tmp_path)
    for file in tmp_path.glob("*/keys.npy"):
        file.write_bytes(b"nothing")
    np.testing.assert_array_equal(encode_cached(encoder, TEXTS, tmp_path), expected)
    assert "cannot be read and is replaced" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("encoder", "dim", "message"),
    [
        (WORDLLAMA, 300, r"text.dim: the vectors of 'wordllama' have 256 numbers"),
        ("/no/such/model", 8, r"text.encoder: '/no/such/model' is no folder of a sentence-transformers model"),
    ],
)
def test_errors_name_the_field(encoder: str, dim: int, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match=message):
        vectors(encoder, dim)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "wordllama", None)
    with pytest.raises(ValueError, match=r"wordllama is not installed; install shortlist\[text\]"):
        vectors(WORDLLAMA, 8)


def test_no_text_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_vectors, "open_encoder", lambda *_: pytest.fail("nothing to encode"))
    with pytest.raises(ValueError, match="no item of the train window has text"):
        vectors(WORDLLAMA, 8, ["", " ", ""])


def test_recipes_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValidationError, match="terms needs encoder: tfidf"):
        Text(columns=["title"], encoder=WORDLLAMA, terms=99)
    with pytest.raises(ValidationError, match="only encoder: tfidf is part of a release"):
        UserFeatures(text=Text(columns=["title"], encoder=WORDLLAMA))
