"""The assistant's steps: what the network learns, and what is counted."""

from __future__ import annotations

import pytest
import torch

from slayerloss import ArgumentError, DtypeError, ShapeError, classifier, loss
from slayerloss.regularizer import L2, Regularized
from slayerloss.utils import Assistant, LearningStats


class Net(torch.nn.Module):
    """A layer that also returns what is asked for."""

    def __init__(self, *extra):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(3, 2)
        self.extra = extra

    def forward(self, x):
        parts = {"net_loss": self.layer.weight.square().sum(), "count": torch.ones(2)}
        y = self.layer(x)
        return (y, *(parts[name] for name in self.extra)) if self.extra else y


def make(net, error=None, **options):
    return Assistant(net, error or torch.nn.MSELoss(), torch.optim.SGD(net.parameters(), lr=0.1), **options)


X = torch.arange(12.0).reshape(4, 3) / 12
Y = torch.ones(4, 2)


@pytest.mark.parametrize("lam", [None, 0.5])
@pytest.mark.parametrize("count_log", [False, True])
def test_training_is_the_plain_loop(lam, count_log):
    extra = ["net_loss"] * (lam is not None) + ["count"] * count_log
    assistant, plain = make(Net(*extra), count_log=count_log, lam=lam), Net()
    expected = plain(X)
    value = torch.nn.functional.mse_loss(expected, Y)
    if lam is not None:
        value = value + lam * plain.layer.weight.square().sum()
    value.backward()
    torch.optim.SGD(plain.parameters(), lr=0.1).step()
    returned = assistant.train(X, Y)
    output = returned[0] if count_log else returned
    assert torch.equal(output, expected)
    assert not count_log or torch.equal(returned[1], torch.ones(2))
    assert torch.equal(assistant.net.layer.weight, plain.layer.weight)
    assert assistant.net.training


def test_penalties_are_trained_and_not_counted():
    net, plain, stats = Net(), Net(), LearningStats()
    error = Regularized(torch.nn.MSELoss(), {"size": L2(net, 0.5)})
    assistant = make(net, error, stats=stats)
    value = torch.nn.functional.mse_loss(plain(X), Y)
    (value + L2(plain, 0.5)()).backward()
    torch.optim.SGD(plain.parameters(), lr=0.1).step()
    assistant.train(X, Y)
    torch.testing.assert_close(net.layer.weight, plain.layer.weight)
    assert stats.training.loss == pytest.approx(value.item())
    assistant.valid(X, Y)
    assert list(error.terms) == ["loss"]
    assistant.train(X, Y)
    assert list(error.terms) == ["loss", "size"]


@pytest.mark.parametrize(("method", "stage"), [("test", "testing"), ("valid", "validation")])
@pytest.mark.parametrize("extra", [(), ("net_loss",), ("net_loss", "count")])
def test_evaluation_changes_nothing_and_needs_no_device_of_the_network(method, stage, extra):
    net, stats = Net(*extra), LearningStats()
    before = net.layer.weight.clone()
    assistant = make(net, stats=stats, count_log="count" in extra, lam=1.0 if extra else None)
    returned = getattr(assistant, method)(X, Y)
    output = returned[0] if "count" in extra else returned
    assert not output.requires_grad
    assert not net.training
    assert torch.equal(net.layer.weight, before)
    stat = getattr(stats, stage)
    assert stat.num_samples == 4
    assert stat.loss == pytest.approx(torch.nn.functional.mse_loss(output, Y).item())
    assert stats.training.num_samples == 0


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_the_loss_is_per_sample_whatever_the_size_of_the_batch(reduction):
    torch.manual_seed(0)
    spikes, labels = (torch.rand(6, 5, 20) < 0.3).float(), torch.arange(6) % 5
    error = loss.SpikeRate(0.2, 0.03, reduction=reduction)
    scale = 1 if reduction == "sum" else 6
    expected = error(spikes, labels).item() * scale / 6
    for size in (1, 2, 6):
        stats = LearningStats()
        assistant = Assistant(torch.nn.Identity(), error, None, stats, classifier.Rate.predict)
        for start in range(0, 6, size):
            assistant.test(spikes[start : start + size], labels[start : start + size])
        assert stats.testing.loss == pytest.approx(expected, rel=1e-6)
        right = (classifier.Rate.predict(spikes) == labels).sum().item()
        assert stats.testing.accuracy == right / 6


def test_several_labels_of_a_sample_count_as_a_fraction():
    stats = LearningStats()
    predict = lambda output: torch.tensor([[1, 1, 1, 0]])  # noqa: E731
    assistant = make(Net(), lambda output, target: output.sum(), stats=stats, classifier=predict)
    assistant.test(X[:1], torch.ones(1, 4))
    assert stats.testing.accuracy == 0.75


def test_the_learning_rate_is_divided():
    assistant = make(Net())
    assistant.reduce_lr()
    assert assistant.optimizer.param_groups[0]["lr"] == pytest.approx(0.03)
    with pytest.raises(ArgumentError, match="factor"):
        assistant.reduce_lr(0)


def test_without_an_optimizer_there_is_no_training():
    net = Net().eval()
    assistant = Assistant(net, torch.nn.MSELoss(), None)
    for step in (lambda: assistant.train(X, Y), assistant.reduce_lr):
        with pytest.raises(ArgumentError, match=r"optimizer is None; .* Pass one to Assistant"):
            step()
    assert not net.training
    assistant.valid(X, Y)


def test_wrong_arguments_are_refused():
    net = Net()
    with pytest.raises(DtypeError, match="net"):
        Assistant(len, torch.nn.MSELoss(), None)
    with pytest.raises(DtypeError, match="error"):
        make(net, error=torch.nn.MSELoss)
    with pytest.raises(DtypeError, match="classifier"):
        make(net, classifier=classifier.Rate)
    with pytest.raises(ShapeError, match="error returns no loss"):
        make(net, torch.nn.MSELoss(reduction="none")).train(X, Y)
    with pytest.raises(DtypeError, match=r"net returns something else; expected \(output, net_loss\)"):
        make(net, lam=1.0).train(X, Y)


def test_the_device_is_that_of_the_network():
    assert make(Net()).device == torch.device("cpu")
    assert Assistant(torch.nn.Identity(), torch.nn.MSELoss(), None).device is None
