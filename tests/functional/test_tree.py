"""Tensors by name, in tensors, nested structures and modules."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn.utils import parametrizations

from slayerloss import ArgumentError, DtypeError, block
from slayerloss.functional import _tree


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))


def test_a_modules_names_are_those_of_named_parameters():
    net = network()
    assert [place.name for place in _tree.places(net)] == [name for name, _ in net.named_parameters()]
    assert all(place.value is parameter for place, parameter in zip(_tree.places(net), net.parameters(), strict=True))


def test_a_parametrised_tensor_counts_as_what_is_computed():
    net = network()
    before = net[0].weight.detach().clone()
    parametrizations.weight_norm(net[0])
    found = _tree.leaves("here", net)
    assert set(found) == {"0.bias", "0.weight", "2.weight", "2.bias"}
    torch.testing.assert_close(found["0.weight"], before)
    found["0.weight"].sum().backward()
    assert net[0].parametrizations.weight.original1.grad is not None


def test_tied_weights_count_once():
    net = network()
    other = torch.nn.Linear(2, 3)
    other.weight = net[0].weight
    assert list(_tree.leaves("here", torch.nn.ModuleList([net, other]))) == [
        *(f"0.{name}" for name, _ in net.named_parameters()),
        "1.bias",
    ]


def tied(parts):
    """Blocks of which the second has these stored parameters of the first."""
    neuron = {"threshold": 1.0, "current_decay": 0.5, "voltage_decay": 0.1, "requires_grad": True}
    first, second = (block.cuba.Dense(neuron, 3, 2, weight_norm=True) for _ in range(2))
    for part in parts:
        module, _, own = part.partition(".")
        getattr(second, module)._parameters[own] = getattr(first, module)._parameters[own]
    return torch.nn.Sequential(first, second)


@pytest.mark.parametrize(
    ("parts", "left"),
    [
        ([], ["neuron.current_decay", "neuron.voltage_decay", "synapse.weight"]),
        (["synapse.weight_v"], ["neuron.current_decay", "neuron.voltage_decay", "synapse.weight"]),
        (["synapse.weight_g", "synapse.weight_v"], ["neuron.current_decay", "neuron.voltage_decay"]),
        (["neuron.voltage_decay"], ["neuron.current_decay", "synapse.weight"]),
    ],
)
def test_tied_parameters_that_are_computed_count_once(parts, left):
    net = tied(parts)
    for frozen in ((), ("1.synapse.weight_g",)):
        for name, parameter in net.named_parameters():
            parameter.requires_grad_(name not in frozen)
        names = [name for name in _tree.leaves("here", net) if name.startswith("1.")]
        assert names == [f"1.{name}" for name in left]
        with torch.no_grad():
            assert names == [name for name in _tree.leaves("here", net) if name.startswith("1.")]


def test_tied_parametrised_tensors_count_once():
    first, second = (parametrizations.weight_norm(torch.nn.Linear(2, 3, bias=False)) for _ in range(2))
    net = torch.nn.Sequential(first, second)
    assert list(_tree.leaves("here", net)) == ["0.weight", "1.weight"]
    second.parametrizations.weight.original0 = first.parametrizations.weight.original0
    assert list(_tree.leaves("here", net)) == ["0.weight", "1.weight"]
    second.parametrizations.weight.original1 = first.parametrizations.weight.original1
    assert list(_tree.leaves("here", net)) == ["0.weight"]


def test_names_that_are_the_same_are_refused():
    with pytest.raises(ArgumentError, match=r"here: two parts of the tree are called 'a\.b'"):
        _tree.leaves("here", {"a.b": torch.ones(1), "a": {"b": torch.ones(2)}})
    with pytest.raises(ArgumentError, match="'0'"):
        _tree.leaves("here", {0: torch.ones(1), "0": torch.ones(2)})


def test_pairs_are_a_dictionary():
    pairs = list(network().named_parameters())
    assert list(_tree.leaves("here", pairs)) == [name for name, _ in pairs] == list(_tree.leaves("here", iter(pairs)))
    assert _tree.mapped("here", iter(pairs), lambda name, tensor: name) == {name: name for name, _ in pairs}
    assert list(_tree.leaves("here", {"a": pairs})) == [f"a.{name}" for name, _ in pairs]


def test_what_is_computed_anew_counts_each_time():
    class Logarithm(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.log = torch.nn.Parameter(torch.zeros(1))

        def natural_parameters(self):
            return {"value": self.log.exp()}

    names = list(_tree.leaves("here", torch.nn.Sequential(*[Logarithm() for _ in range(50)])))
    assert names == [f"{i}.value" for i in range(50)]


def test_a_place_follows_its_module():
    net = network()
    place = next(iter(_tree.places(net)))
    net.load_state_dict(copy.deepcopy(net.state_dict()), assign=True)
    assert place.value is net[0].weight
    assert net.double()[0].weight is place.value


def test_structures_go_there_and_back():
    tree = {"a": [torch.ones(2), (torch.zeros(()), 2)], "b": torch.ones(1)}
    names = _tree.mapped("here", tree, lambda name, tensor: name)
    assert names == {"a": ["a.0", ("a.1.0", "a.1.1")], "b": "b"}
    assert list(_tree.leaves("here", tree)) == ["a.0", "a.1.0", "a.1.1", "b"]
    assert _tree.mapped("here", torch.ones(3), lambda name, tensor: (name, len(tensor))) == ("", 3)
    assert _tree.mapped("here", network(), lambda name, tensor: tensor.ndim)["2.weight"] == 2
    assert _tree.leaves("here", {}) == {}


def test_what_is_no_tensor_is_refused_by_its_name():
    with pytest.raises(DtypeError, match=r"here: a\.0 is not a tensor; .* got str"):
        _tree.leaves("here", {"a": ["text"]})
    with pytest.raises(DtypeError, match=r"here: params is not a tensor"):
        _tree.leaves("here", None)


def test_other_names_are_refused_with_those_that_miss_and_those_too_many():
    text = r"bounds are not those of the parameters; expected a, b, got without b and with c\."
    with pytest.raises(ArgumentError, match=text):
        _tree.matched("here", ["a", "b"], {"a": 1, "c": 2}, "bounds")
    assert list(_tree.matched("here", ["a", "b"], {"b": 1, "a": 2}, "bounds").items()) == [("a", 2), ("b", 1)]


def test_patterns_that_match_nothing_are_refused_with_the_nearest_name():
    names = ["0.weight", "0.bias", "1.weight"]
    assert _tree.chosen("here", names, ["*.bias", "1.*"]) == ["0.bias", "1.weight"]
    assert _tree.chosen("here", names, None) == names
    with pytest.raises(ArgumentError, match=r"'0.wight' names no parameter; .* Did you mean '0.weight'\?"):
        _tree.chosen("here", names, ["*.bias", "0.wight"])


def test_a_total_always_supports_backward():
    w = torch.ones(2, dtype=torch.float64, requires_grad=True)
    _tree.total([w.sum(), w.mean()]).backward()
    assert w.grad.tolist() == [1.5, 1.5]
    constant = _tree.total([torch.tensor(2.0, dtype=torch.float64)])
    assert (constant.item(), constant.dtype) == (2.0, torch.float64)
    constant.backward()
    with torch.no_grad():
        assert not _tree.total([]).requires_grad
