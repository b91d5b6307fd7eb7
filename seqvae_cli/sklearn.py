"""A scikit-learn estimator: sentences in, codes out, and back (the extra `analysis`).

    from seqvae_cli.sklearn import SentenceVAE

    pipeline = make_pipeline(SentenceVAE(latent_size=16, epochs=10), LogisticRegression())

`fit` trains in a temporary home that the estimator owns: nothing is added to the user's runs and corpora. A pickle of a
fitted estimator, such as joblib sends to its workers, holds its run as `seqvae runs export --weights-only` packs it,
and is verified like that when it is read.
"""

from __future__ import annotations

import io
import json
import math
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

try:
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import check_is_fitted
except ImportError as missing:
    raise ImportError('the estimator needs scikit-learn: pip install "seqvae[analysis]"') from missing

from seqvae_cli import api
from seqvae_cli.api import Model
from seqvae_cli.errors import DataError, UsageError
from seqvae_cli.latent.arguments import check_counts, check_sentences
from seqvae_cli.runs import archive
from seqvae_cli.system import files, places

SCORE_SAMPLES = 100
"""K of the bound by default: a search over settings scores many sentences."""
OWN = {"latent_size": "model.latent_size", "epochs": "train.epochs", "device": "runtime.device"}
"""Parameters of the estimator that are settings."""
NAME = "fitted"
"""The name of an estimator's run, in a home of its own."""


class SentenceVAE(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A sentence VAE as a transformer of sentences. N sentences, L latent dimensions.

    Sentences are any iterable of strings: a list, an array, a column of a table. In `fit`, those without words are left
    out; elsewhere they have a row of NaN.

    preset: what the settings begin with, as in `seqvae train --preset`.
    latent_size, epochs: as in the settings; None: those of the preset, adapted to the text.
    settings: others, by dotted name, such as {"train.lr": 0.002}.
    preparation: options of `prepare_corpus`, such as {"tokenizer": "char", "valid_fraction": 0.1}.
    samples: K of the importance-weighted bound that `score_samples` gives.
    random_state: seed of the weights, the order, the noise, and the cut of the validation sentences; None: another one
        at each fit.
    device: where it trains and encodes: auto, cpu, cuda or the like.

    `model_` is the trained `Model`, with all that it can do; its run lies in `model_.run.path` as long as the estimator
    lives.
    """

    def __init__(
        self,
        *,
        preset: str = "default",
        latent_size: int | None = None,
        epochs: int | None = None,
        settings: Mapping[str, Any] | None = None,
        preparation: Mapping[str, Any] | None = None,
        samples: int = SCORE_SAMPLES,
        random_state: int | np.random.RandomState | None = 0,
        device: str = "auto",
    ) -> None:
        self.preset = preset
        self.latent_size = latent_size
        self.epochs = epochs
        self.settings = settings
        self.preparation = preparation
        self.samples = samples
        self.random_state = random_state
        self.device = device

    def fit(self, X: Iterable[str], y: object = None) -> Self:  # noqa: N803, ARG002 - the names of scikit-learn
        """Trains on the sentences, of which a share is held out for validation: 0.05, unless `preparation` says.

        Raises `UsageError` for a wrong setting, `DataError` for unusable text, `DivergedError`.
        """
        check_counts(samples=(self.samples, 1))
        given = {name: getattr(self, key) for key, name in OWN.items() if getattr(self, key) is not None}
        if twice := sorted({*given, "seed", "data"} & set(self.settings or {})):
            raise UsageError(f"the settings name {twice[0]}", "set the parameter of the estimator instead")
        if refused := sorted({"name", "format", "text"} & set(self.preparation or {})):
            raise UsageError(f"the preparation names {refused[0]}", "leave it out: the sentences are given to fit")
        seed = self.random_state  # a whole number is the very seed of `seqvae train --seed`
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(2**31)
        given |= {**(self.settings or {}), "seed": int(seed)}
        preparation = {"test_fraction": 0.0, "seed": int(seed)} | dict(self.preparation or {})
        home = _Home()
        text = home.path / "sentences.jsonl"
        files.write(text, _records(check_sentences(X)), sync=False)
        with places.moved(home.path):
            try:
                corpus = api.prepare_corpus(text, **preparation, name="sentences", format="jsonl", text="text")
            except DataError as error:
                raise DataError(error.message.replace(str(text), "the text"), error.hint) from error
            text.unlink()
            model = api.train_model(given, data=corpus, preset=self.preset, name=NAME)
        self._set(home, model)
        return self

    def _set(self, home: _Home, model: Model) -> None:
        self._home, self.model_ = home, model
        self._n_features_out = model.latent_size

    def fit_transform(self, X: Iterable[str], y: object = None) -> NDArray[np.float32]:  # noqa: N803, ARG002
        """`transform` after `fit`; the sentences may come from a generator."""
        given = list(check_sentences(X))
        return self.fit(given).transform(given)

    def transform(self, X: Iterable[str]) -> NDArray[np.float32]:  # noqa: N803
        """Posterior means: [N, L], float32. Raises `UsageError` for a model without a code (latent_size 0)."""
        check_is_fitted(self)
        rows = [None if found is None else found.mean for _, found in self.model_.encode_stream(X)]
        codes = np.full((len(rows), self._n_features_out), np.nan, np.float32)
        for code, row in zip(codes, rows, strict=True):
            if row is not None:
                code[:] = row
        return codes

    def inverse_transform(self, X: ArrayLike) -> NDArray[np.object_]:  # noqa: N803
        """The sentence of each code [N, L], decoded greedily: N strings; an empty one for a row of NaN."""
        check_is_fitted(self)
        codes = np.atleast_2d(np.asarray(X))
        known = ~np.isnan(codes).all(axis=1) if codes.dtype.kind == "f" else np.ones(len(codes), bool)
        sentences = np.full(len(codes), "", object)
        sentences[known] = self.model_.decode(codes[known])
        return sentences

    def score_samples(self, X: Iterable[str]) -> NDArray[np.float64]:  # noqa: N803
        """log p(x) of each sentence, in nats: [N], the importance-weighted bound of `samples` draws.

        The expectation of the bound is below log p(x), and nears it as `samples` grows.

        References: Burda, Grosse & Salakhutdinov 2016, "Importance Weighted Autoencoders", equation 8.
        """
        check_is_fitted(self)
        scores = self.model_.score_stream(X, samples=self.samples)
        return np.array([math.nan if found is None else -found.iw_nll for _, found in scores], dtype=np.float64)

    def score(self, X: Iterable[str], y: object = None) -> float:  # noqa: N803, ARG002
        """The mean of `score_samples` over the sentences that have words; what a search over settings maximizes.

        Comparable between tokenizers where no word is unknown. Raises `UsageError` without any sentence.
        """
        found = self.score_samples(X)
        if not (~np.isnan(found)).any():
            raise UsageError("no sentence has words, so no score", "give sentences")
        return float(np.nanmean(found))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        if "model_" in state:
            state = {key: value for key, value in state.items() if key not in ("_home", "model_")}
            state["run"] = b"".join(archive.Pack(self.model_.run, weights_only=True).blocks())
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        packed = state.pop("run", None)
        super().__setstate__(state)
        if packed is not None:
            home = _Home()
            with places.moved(home.path):
                run = archive.unpack(io.BytesIO(packed))
            self._set(home, api.load(run, device=self.device))


class _Home:
    """A temporary home, deleted with the last estimator that holds it."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="seqvae-"))
        weakref.finalize(self, _delete, self.path, os.getpid())


def _delete(path: Path, owner: int) -> None:
    if os.getpid() == owner:  # not in a process that was forked and ends
        shutil.rmtree(path, ignore_errors=True)


def _records(sentences: Iterator[str]) -> Iterator[bytes]:
    """The lines of a file: JSON, in which a sentence may have line ends."""
    return (json.dumps({"text": sentence}).encode() + b"\n" for sentence in sentences)
