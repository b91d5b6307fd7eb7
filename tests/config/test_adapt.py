"""The rule by which the sizes of a preset follow from the training split."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from seqvae_cli.config import layers, options, presets
from seqvae_cli.config.adapt import (
    COMMON,
    FASTEST,
    FEW,
    FREE_SHARE,
    FREQUENT,
    FULL,
    HIGH,
    HIGH_SHARE,
    KEYS,
    LONGER,
    SCARCE,
    SMALL,
    Facts,
    adapted,
    smallness,
    unknown_share,
)
from seqvae_cli.config.schema import Settings

SIZES = (1, 10, 100, 300, 1_000, 3_000, 10_000, 19_999)


FACTS = Facts(sentences=300, seen_once=60, seen_twice=20, occurrences=5.0, unigram_nll=150.0)


def chosen(sentences: int, preset: str = "default", **overrides: object) -> Settings:
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    facts = replace(FACTS, sentences=sentences, seen_once=0)
    return layers.resolve(preset, overrides=dotted, adapted=adapted(layers.resolve(preset), facts))


@pytest.mark.parametrize("preset", presets.names())
def test_a_preset_keeps_its_sizes_from_20_000_sentences_on(preset: str) -> None:
    for sentences in (FULL, 42_068, 10_000_000):
        assert chosen(sentences, preset) == layers.resolve(preset)


@pytest.mark.parametrize("preset", presets.names())
def test_settings_of_any_size_are_valid_and_phases_keep_their_share(preset: str) -> None:
    before = layers.resolve(preset)
    for sentences in SIZES:
        after = chosen(sentences, preset)
        assert after.train.epochs >= before.train.epochs
        assert after.train.batch_size <= before.train.batch_size
        longer = after.train.epochs / before.train.epochs
        assert after.train.pretrain == pytest.approx(before.train.pretrain * longer, rel=0.05)
        warmup = before.objective.kl_warmup * (longer if before != after else 1)
        assert after.objective.kl_warmup == pytest.approx(warmup, rel=0.05)
        free = before.objective.free_bits_total if before == after or sentences >= SCARCE else 0
        assert after.objective.free_bits_total == free


def test_fewer_sentences_never_have_larger_batches_fewer_epochs_or_less_dropout() -> None:
    rows = [chosen(sentences) for sentences in (*SIZES, FULL)]
    for fewer, more in itertools.pairwise(rows):
        assert fewer.train.batch_size <= more.train.batch_size
        assert fewer.train.epochs >= more.train.epochs
        assert fewer.model.dropout >= more.model.dropout
        assert fewer.objective.free_bits_fade <= more.objective.free_bits_fade
        assert fewer.model.hidden_size <= more.model.hidden_size
        assert fewer.train.lr >= more.train.lr
    assert rows[0].train.lr == FASTEST * rows[-1].train.lr


def test_what_is_given_stays() -> None:
    given = chosen(300, train__batch_size=32, train__epochs=7, model__dropout=0.1, train__pretrain=1)
    assert (given.train.batch_size, given.train.epochs, given.model.dropout, given.train.pretrain) == (32, 7, 0.1, 1)


def test_a_replica_keeps_the_sizes_of_its_paper() -> None:
    for preset in ("seed", "bowman", "bowman-inputless"):
        assert chosen(300, preset) == layers.resolve(preset)


def test_smallness_is_logarithmic_between_its_ends() -> None:
    assert [smallness(count) for count in (0, 1, FEW, FULL, 10 * FULL)] == [1, 1, 1, 0, 0]
    middle = round((FEW * FULL) ** 0.5)
    assert smallness(middle) == pytest.approx(0.5, abs=1e-3)


def test_unknown_words_get_the_share_that_good_estimates() -> None:
    assert unknown_share(replace(FACTS, seen_once=0)) == 0
    assert unknown_share(FACTS) == pytest.approx(0.6)
    assert unknown_share(replace(FACTS, seen_twice=0)) == 1
    once, twice = 300, 100
    share = unknown_share(replace(FACTS, seen_once=once, seen_twice=twice))
    # unknown words : words seen once = n1 : 2 n2, as in new text
    assert share * once / ((1 - share) * once) == pytest.approx(once / (2 * twice))


def test_the_settings_that_follow_from_a_corpus_are_those_that_help_names() -> None:
    assert set(adapted(Settings(), FACTS)) == set(KEYS)
    helps = {flag.key: flag.help for flag in options.flags()}
    assert {key for key, text in helps.items() if "or from the corpus" in text} == set(KEYS)


def test_a_small_network_is_for_rare_words() -> None:
    for sentences, occurrences, half in ((300, 5.0, True), (300, FREQUENT, False), (SMALL, 5.0, False)):
        found = adapted(layers.resolve(), replace(FACTS, sentences=sentences, occurrences=occurrences))
        assert ("model.hidden_size" in found) == half


def test_common_words_need_more_dropout_below_3_000_sentences_alone() -> None:
    def dropout(sentences: int, occurrences: float) -> float:
        facts = replace(FACTS, sentences=sentences, occurrences=occurrences)
        return layers.resolve(adapted=adapted(layers.resolve(), facts)).model.dropout

    least = layers.resolve().model.dropout
    for sentences in (LONGER, FULL - 1):
        assert dropout(sentences, COMMON) == least < dropout(sentences, COMMON - 1)
    assert least < dropout(1_000, COMMON) < dropout(1_000, COMMON - 1)
    assert dropout(FEW, COMMON) == dropout(FEW, COMMON - 1)


def test_free_bits_are_at_most_a_share_of_what_a_sentence_has() -> None:
    def free(unigram_nll: float, sentences: int, preset: str = "default") -> float:
        facts = replace(FACTS, sentences=sentences, unigram_nll=unigram_nll)
        return layers.resolve(preset, adapted=adapted(layers.resolve(preset), facts)).objective.free_bits_total

    assert free(20.0, 300) == free(20.0, FULL) == pytest.approx(20 * FREE_SHARE)
    assert free(20.0, FULL, "balanced") == pytest.approx(20 * HIGH_SHARE)
    assert free(1000.0, FULL, "balanced") == layers.resolve("balanced").objective.free_bits_total > HIGH
    assert free(1000.0, SCARCE) == 7
    assert free(1000.0, SCARCE - 1) == 0
    assert free(20.0, FULL, "lm") == 0
