"""The cross layers of DCN-v2."""

import torch

from shortlist.ranking.network.crossnet import CrossLayer, CrossNetwork


def test_cross_layer_is_equation_1():
    layer = CrossLayer(3, rank=0)
    x0, x = torch.tensor([1.0, 2.0, -1.0]), torch.tensor([0.5, -1.0, 3.0])
    weight, bias = torch.tensor([[1.0, 0, 2], [0, -1, 1], [3, 1, 0]]), torch.tensor([0.1, 0.2, 0.3])
    with torch.no_grad():
        layer.cross.weight.copy_(weight)
        layer.cross.bias.copy_(bias)
        # W x = [6.5, 4, 0.5]
        by_hand = torch.tensor([1 * 6.6 + 0.5, 2 * 4.2 - 1.0, -1 * 0.8 + 3.0])
        torch.testing.assert_close(layer(x0, x), by_hand)


def test_low_rank_is_full_when_the_product_is():
    low, full = CrossLayer(6, rank=2), CrossLayer(6, rank=0)
    with torch.no_grad():
        full.cross.weight.copy_(low.cross.weight @ low.reduce.weight)
        full.cross.bias.copy_(torch.randn(6))
        low.cross.bias.copy_(full.cross.bias)
        x0, x = torch.randn(4, 5, 6), torch.randn(4, 5, 6)
        torch.testing.assert_close(low(x0, x), full(x0, x))
    assert sum(weight.numel() for weight in low.parameters()) < sum(weight.numel() for weight in full.parameters())


def test_every_layer_of_the_network_crosses_with_its_input():
    network = CrossNetwork(4, num_layers=2, rank=3)
    x0 = torch.randn(4)
    first, second = network.layers
    torch.testing.assert_close(network(x0), second(x0, first(x0, x0)))
