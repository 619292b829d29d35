"""What every encoder must do."""

import io

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from shortlist.recipe import Retrieval
from shortlist.retrieval.encoders import Encoder, Packed, encoder_of

LENGTH, WIDTH = 9, 8
KINDS = {
    "mean": "mean",
    "attention": "attention",
    "transformer": "transformer",
    "plain transformer": "transformer",
    "hstu": "hstu",
    "several": ["attention", "mean"],
}
LENGTHS = np.array([4, LENGTH, 0, 1, 6, 2, 7, LENGTH])


def made(kind: str, dropout: float = 0.3, dim: int = WIDTH, heads: int = 2) -> Encoder:
    """An encoder, moved away from its first weights."""
    torch.manual_seed(0)
    settings = Retrieval.model_validate(
        {"encoder": KINDS[kind], "gated": kind == "transformer", "dim": dim, "heads": heads, "dropout": dropout}
    )
    encoder = encoder_of(settings, LENGTH)
    with torch.no_grad():
        for weight in encoder.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return encoder.eval()


@pytest.fixture(params=KINDS)
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return made(request.param)


def events(count: int, seed: int = 1) -> Tensor:
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed))


def whole(encoder: Encoder, history_LD: Tensor) -> Tensor:
    """States of one history."""
    return encoder(history_LD, Packed.of(np.array([len(history_LD)])))


def padded(history_TD: Tensor, length_B: np.ndarray) -> Tensor:
    """[B, LENGTH, D] with something wild behind the ends."""
    out = torch.full((len(length_B), LENGTH, WIDTH), 1e3)
    for b, part in enumerate(history_TD.split(length_B.tolist())):
        out[b, : len(part)] = part
    return out


def test_it_has_a_state_for_every_event(encoder: Encoder) -> None:
    states = encoder(events(LENGTHS.sum()), Packed.of(LENGTHS))
    assert states.shape == (LENGTHS.sum(), encoder.num_states * WIDTH)
    assert states.isfinite().all()


@pytest.mark.parametrize("at", range(LENGTH))
def test_later_events_do_not_change_earlier_states(encoder: Encoder, at: int) -> None:
    before = events(LENGTH)
    after = before.clone()
    after[at + 1 :] = 100 * torch.randn_like(after[at + 1 :])
    assert torch.allclose(whole(encoder, before)[: at + 1], whole(encoder, after)[: at + 1], atol=1e-5)


def test_every_earlier_event_counts(encoder: Encoder) -> None:
    before = events(LENGTH)
    for at in range(LENGTH):
        after = before.clone()
        after[at] += torch.randn(WIDTH, generator=torch.Generator().manual_seed(at))
        changed = (whole(encoder, before) - whole(encoder, after)).abs().amax(1)
        assert (changed[at:] > 1e-4).all(), at


def test_a_prefix_has_the_states_of_the_whole(encoder: Encoder) -> None:
    history = events(LENGTH)
    for at in range(1, LENGTH + 1):
        assert torch.allclose(whole(encoder, history[:at]), whole(encoder, history)[:at], atol=1e-5)


def test_packed_histories_have_the_states_of_each_alone(encoder: Encoder) -> None:
    """Whatever stands beside a history, and whatever rectangles they share."""
    history = events(LENGTHS.sum())
    alone = torch.cat([whole(encoder, part) for part in history.split(LENGTHS.tolist()) if len(part)])
    for fill in (0.0, 0.7, 1.0):
        assert torch.allclose(encoder(history, Packed.of(LENGTHS, fill=fill)), alone, atol=1e-5)


def test_packed_gradients_are_those_of_each_alone(encoder: Encoder) -> None:
    history, mark = events(LENGTHS.sum()).requires_grad_(), events(LENGTHS.sum(), 2).repeat(1, encoder.num_states)
    gradients = []
    for states in (
        encoder(history, Packed.of(LENGTHS, fill=0.0)),
        torch.cat([whole(encoder, part) for part in history.split(LENGTHS.tolist()) if len(part)]),
    ):
        over = [history, *encoder.parameters()]
        gradients.append(torch.autograd.grad((states * mark).sum(), over))
    for packed, alone in zip(*gradients, strict=True):
        assert torch.allclose(packed, alone, atol=1e-4)


def test_the_last_state_is_the_state_at_the_last_event(encoder: Encoder) -> None:
    history, some = events(LENGTHS.sum()), LENGTHS > 0
    every = encoder(history, Packed.of(LENGTHS))[LENGTHS.cumsum()[some] - 1]
    last = encoder.last(padded(history, LENGTHS), torch.from_numpy(LENGTHS))
    assert torch.allclose(last[torch.from_numpy(some)], every, atol=1e-5)


def test_an_empty_history_is_a_number_and_has_no_gradient_that_is_none(encoder: Encoder) -> None:
    given = torch.zeros(2, LENGTH, WIDTH, requires_grad=True)
    state = encoder.last(given, torch.tensor([0, 2]))
    assert state.isfinite().all()
    state.sum().backward()
    assert given.grad is not None
    assert given.grad.isfinite().all()


@pytest.mark.parametrize("every", [True, False])
def test_gradient_reaches_every_weight_and_input(encoder: Encoder, every: bool) -> None:
    given = events(5 * LENGTH).requires_grad_()
    full = np.full(5, LENGTH)
    states = encoder(given, Packed.of(full)) if every else encoder.last(given.view(5, LENGTH, -1), torch.tensor(full))
    (states * torch.randn(states.shape, generator=torch.Generator().manual_seed(2))).sum().backward()
    assert given.grad is not None
    assert (given.grad.abs().amax(-1) > 0).all()
    for name, weight in encoder.named_parameters():
        assert weight.grad is not None, name
        assert (weight.grad != 0).any(), name


class Last(nn.Module):
    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, history: Tensor, length: Tensor) -> Tensor:
        return self.encoder.last(history, length)


def test_the_served_graph_answers_the_same(encoder: Encoder) -> None:
    batch = torch.export.Dim("batch", min=1, max=1024)
    history, length = torch.randn(6, LENGTH, WIDTH), torch.tensor([1, LENGTH, 3, 0, 8, 2])
    program = torch.onnx.export(
        Last(encoder).eval(),
        (history[:2], length[:2]),
        input_names=["history", "length"],
        dynamo=True,
        dynamic_shapes={"history": {0: batch}, "length": {0: batch}},
        verbose=False,
    )
    body = io.BytesIO()
    program.save(body)
    session = onnxruntime.InferenceSession(body.getvalue())
    got = session.run(None, {"history": history.numpy(), "length": length.numpy()})[0]
    assert np.abs(got - encoder.last(history, length).detach().numpy()).max() < 1e-4


def test_it_runs_in_half_precision(encoder: Encoder) -> None:
    history = events(LENGTHS.sum()).requires_grad_()
    exact = encoder(history, Packed.of(LENGTHS))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = encoder(history, Packed.of(LENGTHS))
    rough.float().sum().backward()
    assert history.grad is not None
    assert history.grad.isfinite().all()
    assert (rough - exact).norm() < 0.05 * exact.norm()


@pytest.mark.parametrize("kind", ["transformer", "plain transformer", "hstu"])
def test_dropout_only_works_in_training(kind: str) -> None:
    encoder = made(kind, dropout=0.5)
    history = events(LENGTH)
    assert not torch.equal(whole(encoder.train(), history), whole(encoder, history))
    assert torch.equal(whole(encoder.eval(), history), whole(encoder, history))


@pytest.mark.parametrize("kind", KINDS)
def test_order_matters_to_those_that_read_it(kind: str) -> None:
    encoder, history = made(kind), events(LENGTH)
    again = history[torch.randperm(LENGTH)]
    same = torch.allclose(whole(encoder, history)[-1], whole(encoder, again)[-1], atol=1e-5)
    assert same == (kind == "mean")


@pytest.mark.parametrize(("kind", "dim"), [("transformer", 12), ("hstu", 10)])
def test_heads_must_divide_the_width(kind: str, dim: int) -> None:
    with pytest.raises(ValueError, match=rf"retrieval.dim {dim} .* retrieval.heads 4"):
        made(kind, dim=dim, heads=4)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 60), max_size=30), st.floats(0, 1))
def test_each_event_has_one_cell_in_its_own_row_and_rows_are_full_enough(lengths: list[int], fill: float) -> None:
    length_B = np.array(lengths, np.int64)
    packed = Packed.of(length_B, fill=fill)
    total = int(length_B.sum())
    assert sum(number for number, _ in packed.rectangles) == (length_B > 0).sum()
    assert len(packed.event_S) == sum(number * width for number, width in packed.rectangles)
    assert packed.event_S[packed.cell_T].tolist() == list(range(total))
    owner = np.repeat(np.arange(len(length_B)), length_B)
    assert packed.position_T.tolist() == [place for length in lengths for place in range(length)]
    first = 0
    for number, width in packed.rectangles:
        for row in packed.event_S[first : first + number * width].view(number, width):
            history = owner[row[0].item()]
            length = length_B[history]
            assert (owner[row[:length].numpy()] == history).all()
            assert packed.position_T[row[:length]].tolist() == list(range(length))
            assert width <= 8 or length >= fill * width
        first += number * width


def test_nothing_is_padded_where_all_are_as_long() -> None:
    assert Packed.of(np.array([5, 5, 5])).event_S.tolist() == list(range(15))


def test_several_encoders_give_the_states_of_each() -> None:
    """The same weights as each alone: attention is made first, and the mean has none."""
    history, packed = events(LENGTHS.sum()), Packed.of(LENGTHS)
    states = made("several")(history, packed)
    assert torch.equal(states[:, :WIDTH], made("attention")(history, packed))
    assert torch.equal(states[:, WIDTH:], made("mean")(history, packed))
