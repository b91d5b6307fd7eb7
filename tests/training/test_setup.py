"""What `fit` resolves before a training begins."""

from __future__ import annotations

import pytest
import torch

from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import UsageError
from seqvae_cli.training import setup
from tests.trainings import new_run


def test_a_new_run_has_the_epochs_of_its_settings_and_phases_that_fit_them(tiny_corpus: Corpus) -> None:
    run = new_run(tiny_corpus, "new", train__epochs=2, train__pretrain=2, objective__kl_warmup=2)
    resolved = setup.resolve(run)
    train, objective = resolved.settings.train, resolved.settings.objective
    assert (train.epochs, train.pretrain, objective.kl_warmup) == pytest.approx((2, 0.5, 0.5))
    assert resolved.vocabulary_size == len(tiny_corpus.tokenizer)
    assert (resolved.device, resolved.precision) == (torch.device("cpu"), torch.float32)
    assert resolved.threads == torch.get_num_threads() == 1
    assert resolved.previous_precision is None


def test_more_epochs_lengthen_the_training_and_not_its_phases(tiny_corpus: Corpus) -> None:
    run = new_run(tiny_corpus, "longer", train__epochs=2, train__pretrain=2, objective__kl_warmup=2)
    run.update(epochs=2, epoch=2, precision="bfloat16")
    longer, same = setup.resolve(run, 8), setup.resolve(run)
    assert (longer.settings.train.epochs, longer.settings.train.pretrain) == (8, 0.5)
    assert longer.extended
    assert longer.previous_precision == "bfloat16"
    assert same.settings.train.epochs == 2
    assert not same.extended
    run.update(epochs=8)
    assert setup.resolve(run).settings == longer.settings
    assert not setup.resolve(run, 8).extended
    with pytest.raises(UsageError, match="2 epochs already"):
        setup.resolve(run, 1)


def test_a_resumed_run_takes_as_many_threads_as_it_began_with(tiny_corpus: Corpus) -> None:
    before = torch.get_num_threads()
    run = new_run(tiny_corpus, "threads")
    run.update(threads=2)
    try:
        assert setup.resolve(run).threads == torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
