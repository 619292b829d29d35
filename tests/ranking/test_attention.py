"""The activation unit and the mixture of experts, by the loops that their formulas are."""

import torch

from shortlist.ranking.network.attention import HistoryAttention
from shortlist.ranking.network.crossnet import CrossMixture, CrossNetwork


def test_the_activation_unit_is_its_formula():
    torch.manual_seed(0)
    unit = HistoryAttention(4)
    torch.nn.init.normal_(unit.place)
    candidate, event, length = torch.randn(2, 3, 4), torch.randn(2, 5, 4), torch.tensor([5, 2])
    with torch.no_grad():
        found = unit(candidate, event, length)
        for e, k in ((0, 0), (0, 2), (1, 1)):
            expected = torch.zeros(4)
            for back in range(int(length[e])):
                hidden = unit.candidate(candidate[e, k]) + unit.event(event[e, back]) + unit.place[back]
                hidden = hidden + unit.product(candidate[e, k] * event[e, back])
                expected += unit.activation(hidden.relu()) * event[e, back]
            torch.testing.assert_close(found[e, k], expected / length[e])


def test_a_history_of_nothing_interests_nobody_and_padding_is_no_event():
    torch.manual_seed(0)
    unit = HistoryAttention(4)
    candidate, event = torch.randn(1, 3, 4), torch.randn(1, 5, 4)
    assert not unit(candidate, event, torch.tensor([0])).any()
    other = event.clone()
    other[:, 2:] = 9.0
    two = torch.tensor([2])
    torch.testing.assert_close(unit(candidate, event, two), unit(candidate, other, two))
    torch.testing.assert_close(unit(candidate, event, two), unit(candidate, event[:, :2], two))


def test_the_mixture_is_equation_3():
    torch.manual_seed(0)
    layer = CrossMixture(6, rank=2, num_experts=3)
    torch.nn.init.normal_(layer.bias)
    x0, x = torch.randn(6), torch.randn(6)
    with torch.no_grad():
        gate = torch.softmax(layer.gate(x), dim=0)
        expected = x.clone()
        for i in range(3):
            v, u = layer.reduce.weight[2 * i : 2 * i + 2], layer.expand.weight[:, 2 * i : 2 * i + 2]
            low = torch.tanh(layer.inside_XRR[i] @ torch.tanh(v @ x))
            expected += gate[i] * x0 * (u @ low + layer.bias)
        torch.testing.assert_close(layer(x0, x), expected)
        network = CrossNetwork(6, num_layers=2, rank=2, num_experts=3)
        stacked = torch.stack([x0, x])
        torch.testing.assert_close(network(stacked)[1], network(x), atol=1e-6, rtol=1e-5)
