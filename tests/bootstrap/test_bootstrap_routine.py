"""The schedule of modes."""

from __future__ import annotations

import itertools

import pytest

from slayerloss import ArgumentError, DtypeError, utils
from slayerloss.bootstrap import Mode
from slayerloss.bootstrap.routine import LayerMode, Scheduler


def layers(mode: LayerMode, number: int = 4) -> list[Mode]:
    return list(itertools.islice(mode, number))


def test_sampled_epochs_begin_with_samples_and_a_fit():
    scheduler = Scheduler(num_sample_iter=3, sample_period=2)
    begin = [scheduler.mode(4, i).base_mode for i in range(6)]
    assert begin == [Mode.SAMPLE] * 3 + [Mode.FIT] + [Mode.ANN] * 2
    assert {scheduler.mode(5, i).base_mode for i in range(6)} == {Mode.ANN}


def test_sampled_epochs_are_evaluated_with_spikes():
    scheduler = Scheduler(sample_period=3)
    modes = [scheduler.mode(epoch, 7, train=False).base_mode for epoch in range(6)]
    assert modes == [Mode.SNN, Mode.ANN, Mode.ANN] * 2


def test_layers_before_the_crossover_keep_to_spikes_but_when_sampled():
    assert layers(LayerMode(2, Mode.ANN)) == [Mode.SNN, Mode.SNN, Mode.ANN, Mode.ANN]
    assert layers(LayerMode(2, Mode.FIT)) == [Mode.SNN, Mode.SNN, Mode.FIT, Mode.FIT]
    assert layers(LayerMode(2, Mode.SAMPLE)) == [Mode.SAMPLE] * 4


def test_a_mode_can_be_iterated_again():
    mode = LayerMode(1, Mode.ANN)
    assert layers(mode) == layers(mode) == [Mode.SNN, Mode.ANN, Mode.ANN, Mode.ANN]


def test_the_crossover_follows_from_the_epoch_alone():
    scheduler = Scheduler(sample_period=100, crossover_epochs=[2, 5, 5])
    assert [scheduler.mode(epoch, 20).crossover for epoch in (0, 2, 2, 4, 5, 9, 1)] == [0, 1, 1, 1, 2, 2, 0]
    assert Scheduler(crossover_epochs=[2]).mode(3, 20, train=False).crossover == 1  # of a training that was resumed


def test_the_statistics_of_spiking_epochs_are_kept_apart():
    scheduler, stat = Scheduler(), utils.LearningStat()
    stat.num_samples, stat.loss_sum, stat.correct_samples = 10, 5.0, 8
    scheduler.sync_snn_stat(stat)
    scheduler.update_snn_stat()
    assert scheduler.snn_stat.accuracy_log == [0.8]
    assert scheduler.snn_stat.loss_log == [0.5]
    assert scheduler.snn_stat.best_accuracy
    assert scheduler.snn_stat.num_samples == 0


def test_wrong_arguments_are_refused():
    with pytest.raises(ArgumentError, match="sample_period"):
        Scheduler(sample_period=0)
    with pytest.raises(DtypeError, match="crossover_epochs"):
        Scheduler(crossover_epochs=["a"])
    with pytest.raises(DtypeError, match="base_mode"):
        LayerMode(0, "ANN")
    with pytest.raises(ArgumentError, match="epoch"):
        Scheduler().mode(-1, 0)
    with pytest.raises(DtypeError, match="stat"):
        Scheduler().sync_snn_stat(None)
