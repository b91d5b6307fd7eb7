"""The estimator keeps what scikit-learn promises of one, and leaves the user's home alone."""

from __future__ import annotations

import gc
import os
import pickle
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from seqvae_cli.errors import DataError, UsageError
from tests.conftest import TINY, tiny_text
from tests.faults.matrix import FULL

if TYPE_CHECKING:
    from seqvae_cli.sklearn import SentenceVAE

pytestmark = pytest.mark.skipif(not find_spec("sklearn"), reason="scikit-learn is not installed")

OWN = {"model.latent_size", "train.epochs", "runtime.device"}
REST = {key: value for key, value in TINY.items() if key not in OWN}
TEXTS = tiny_text()


def tiny(**parameters: Any) -> SentenceVAE:
    from seqvae_cli.sklearn import SentenceVAE

    given: dict[str, Any] = {"latent_size": 4, "epochs": 1, "device": "cpu", "samples": 2, "settings": REST}
    return SentenceVAE(**given | parameters)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> SentenceVAE:
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("sklearn") / "home"
        patch.setenv("SEQVAE_HOME", str(home))
        found = tiny().fit(TEXTS)
        assert not home.exists(), "fit leaves the user's runs and corpora alone"
    return found


def test_codes_and_scores_are_those_of_the_model(fitted: SentenceVAE) -> None:
    codes = fitted.transform(np.array(TEXTS[:5]))
    assert codes.dtype == np.float32
    assert np.array_equal(codes, fitted.model_.encode(TEXTS[:5]))
    assert fitted.inverse_transform(codes).tolist() == fitted.model_.reconstruct(TEXTS[:5])
    scores = fitted.score_samples(TEXTS[:5])
    assert scores.tolist() == [-one.iw_nll for one in fitted.model_.score(TEXTS[:5], samples=2)]
    assert (scores < 0).all()
    assert fitted.score(TEXTS[:5]) == pytest.approx(scores.mean())
    assert fitted.get_feature_names_out().tolist() == [f"sentencevae{place}" for place in range(4)]


def test_a_sentence_without_words_has_a_row_of_nan(fitted: SentenceVAE) -> None:
    texts = ["", TEXTS[0], " "]
    codes = fitted.transform(texts)
    assert np.isnan(codes).all(axis=1).tolist() == [True, False, True]
    assert fitted.inverse_transform(codes)[::2].tolist() == ["", ""]
    assert fitted.inverse_transform([[0, 1, 0, 2]]).tolist() == fitted.model_.decode([0, 1, 0, 2])
    assert np.isnan(fitted.score_samples(texts)).tolist() == [True, False, True]
    assert fitted.score(texts) == fitted.score(texts[1:2])
    assert fitted.transform([]).shape == (0, 4)
    for wrong in ([""], []):
        with pytest.raises(UsageError, match="no sentence has words"):
            fitted.score(wrong)


def test_a_pickle_holds_the_run_and_gives_the_same_codes(fitted: SentenceVAE, home: Path) -> None:
    packed = pickle.dumps(fitted)
    assert b"torch" not in packed, "weights travel as safetensors"
    other = pickle.loads(packed)
    assert np.array_equal(other.transform(TEXTS), fitted.transform(TEXTS))
    assert other.get_params() == fitted.get_params()
    path = other.model_.run.path
    assert path != fitted.model_.run.path
    assert path.is_dir()
    del other
    gc.collect()
    assert not path.exists()
    assert fitted.model_.corpus().path.is_dir()
    assert not home.exists()


def test_a_damaged_pickle_is_found(fitted: SentenceVAE) -> None:
    state, other = fitted.__getstate__(), tiny()
    packed = bytearray(state["run"])
    packed[len(packed) // 2] ^= 1
    with pytest.raises(DataError):
        other.__setstate__(state | {"run": bytes(packed)})


def test_a_forked_process_that_ends_does_not_take_the_run_with_it(fitted: SentenceVAE) -> None:
    from seqvae_cli import sklearn

    sklearn._delete(fitted.model_.run.path, os.getpid() + 1)
    assert fitted.model_.run.path.is_dir()


def test_fit_is_told_by_its_seed_and_a_clone_is_not_fitted(fitted: SentenceVAE) -> None:
    from sklearn.base import clone
    from sklearn.exceptions import NotFittedError

    again = clone(fitted)
    with pytest.raises(NotFittedError):
        again.transform(TEXTS)
    text = (one for one in [*TEXTS, "two\nlines", ""])
    codes = again.set_params(random_state=np.random.RandomState(0)).fit_transform(text)
    assert codes.shape == (102, 4)
    assert not np.array_equal(codes[:100], fitted.transform(TEXTS))
    assert np.array_equal(clone(fitted).fit(TEXTS).transform(TEXTS), fitted.transform(TEXTS))
    assert sum(again.model_.corpus().info["splits"][split]["sentences"] for split in ("train", "valid")) == 101


@pytest.mark.skipif(not FULL, reason="five trainings: make faults")
def test_a_search_over_settings_in_a_pipeline(home: Path) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    labels = ["dog" in text for text in TEXTS]
    pipeline = make_pipeline(tiny(), LogisticRegression())
    search = GridSearchCV(pipeline, {"sentencevae__latent_size": [2, 3]}, cv=2, error_score="raise")
    search.fit(TEXTS, labels)
    assert search.best_params_["sentencevae__latent_size"] in (2, 3)
    assert search.predict(TEXTS[:3]).shape == (3,)
    assert not home.exists()


def test_output_is_a_table_where_one_is_asked_for(fitted: SentenceVAE) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    other = pickle.loads(pickle.dumps(fitted)).set_output(transform="pandas")
    column = pandas.Series(TEXTS[:3], index=["a", "b", "b"])
    found = other.transform(column)
    assert found.index.equals(column.index)
    assert list(found.columns) == other.get_feature_names_out().tolist()
    with pytest.raises(UsageError, match="a table is given"):
        other.transform(found)


def test_an_error_of_the_text_names_no_temporary_file() -> None:
    with pytest.raises(DataError, match=r"^the text has only 1 sentence"):
        tiny().fit(TEXTS[:1])


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"samples": 0}, "samples is 0"),
        ({"latent_size": -1}, "latent_size"),
        ({"preset": "nothing"}, "nothing"),
        ({"settings": {"model.nothing": 1}}, "model.nothing"),
        ({"settings": {"seed": 1}}, "the settings name seed"),
        ({"settings": {"model.latent_size": 1}}, "the settings name model.latent_size"),
        ({"preparation": {"tokenizer": "nothing"}}, "nothing"),
        ({"preparation": {"name": "mine"}}, "the preparation names name"),
    ],
)
def test_wrong_parameters_are_refused_by_fit(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        tiny(**parameters).fit(TEXTS)


def test_what_scikit_learn_checks_of_an_estimator_of_text() -> None:
    """Without a two-dimensional array there is little that it checks."""
    from sklearn.utils.estimator_checks import check_estimator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it skips the rest
        found = check_estimator(tiny(), on_skip=None)
    assert [check["status"] for check in found] == ["passed"] * len(found)
    assert found


IMPOSSIBLE = {"check_fit2d_1sample": "one sentence cannot be both trained on and held out for validation"}


def of_numbers() -> Any:
    from sklearn.utils.validation import validate_data

    from seqvae_cli.sklearn import SentenceVAE

    class OfNumbers(SentenceVAE):
        """The estimator under matrices: a row is a sentence with a word for each number, rounded."""

        def _text(self, X: Any, reset: bool) -> list[str]:  # noqa: N803
            numbers = validate_data(self, X, reset=reset, ensure_min_samples=1)
            return [" ".join(f"w{place}{number:.0f}" for place, number in enumerate(row)) for row in numbers.tolist()]

        def fit(self, X: Any, y: Any = None) -> Any:  # noqa: N803
            return super().fit(self._text(X, True), y)

        def fit_transform(self, X: Any, y: Any = None) -> Any:  # noqa: N803
            return self.fit(X, y).transform(X)

        def transform(self, X: Any) -> Any:  # noqa: N803
            return super().transform(self._text(X, False))

        def score_samples(self, X: Any) -> Any:  # noqa: N803
            return super().score_samples(self._text(X, False))

        def __sklearn_tags__(self) -> Any:
            tags = super().__sklearn_tags__()
            tags.input_tags.one_d_array = tags.input_tags.string = False
            tags.input_tags.two_d_array = True
            return tags

    OfNumbers.__qualname__ = OfNumbers.__name__
    globals()[OfNumbers.__name__] = OfNumbers  # where pickle looks for it
    return OfNumbers(**tiny(preparation={"valid_fraction": 0.3}).get_params())


@pytest.mark.skipif(not FULL, reason="dozens of trainings: make faults")
def test_all_that_scikit_learn_checks_of_a_transformer_holds_for_words_that_are_numbers() -> None:
    from sklearn.utils.estimator_checks import check_estimator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = check_estimator(of_numbers(), on_fail=None, expected_failed_checks=IMPOSSIBLE)
    failed = {check["check_name"]: repr(check["exception"])[:200] for check in found if check["status"] == "failed"}
    assert not failed
    assert len(found) > 40
