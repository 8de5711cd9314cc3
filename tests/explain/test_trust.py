"""The trust test's parts, and that it leaves the network alone whatever happens."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lab.config import RunConfig
from lab.errors import DivergedError
from lab.explain import hiding, placement
from lab.explain import trust as sanity
from lab.explain.grad_cam import class_activation_maps
from lab.explain.hiding import Cells, Hiding
from lab.explain.placement import Halves, Placement, half_batches
from lab.explain.trust import Trust, rank_correlation, trust_test, trust_verdict
from lab.models.catalog import build_network
from lab.models.staged import StagedNet
from lab.progress import Cancelled, Progress

SIZE = 16


def network(seed: int, architecture: str = "sign-cnn", *, size: int = SIZE) -> StagedNet:
    config = RunConfig(architecture=architecture, seed=seed)
    return build_network(config, channels=1, image_size=size, classes=3)


def image(size: int = SIZE) -> Tensor:
    return torch.randn(1, 1, size, size, generator=torch.Generator().manual_seed(5))


def trust(net: StagedNet, picture: Tensor | None = None, **changes: object) -> Trust:
    given = {
        "target": 1,
        "layer": "block2",
        "method": "layercam",
        "randomised": lambda seed: network(100 + seed),
    }
    return trust_test(net, image() if picture is None else picture, **{**given, **changes})  # type: ignore[arg-type]


# --- rank correlation ----------------------------------------------------------------------------
def test_rank_correlation_is_of_ranks_not_values() -> None:
    assert rank_correlation([1, 2, 3, 4], [1, 10, 100, 1000]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)


def test_equal_values_share_their_mean_rank() -> None:
    # scipy.stats.spearmanr([0, 0, 1, 2, 2, 5], [3, 1, 1, 0, 7, 7]).statistic
    assert rank_correlation([0, 0, 1, 2, 2, 5], [3, 1, 1, 0, 7, 7]) == pytest.approx(4 / 11)


def test_maps_may_have_two_dimensions() -> None:
    one = np.array([[0.0, 1.0], [2.0, 3.0]])
    assert rank_correlation(one, one.T) == pytest.approx(0.8)


@pytest.mark.parametrize("other", [[0, 0, 0], [1, 2, float("nan")], [1, 2, float("inf")]])
def test_without_an_order_there_is_no_correlation(other: list[float]) -> None:
    assert np.isnan(rank_correlation([1, 2, 3], other))


def test_turned_over_and_empty_maps_count_as_changed() -> None:
    found = sanity._summary("head", [0.9, -0.9, float("nan")])
    assert found.mean == pytest.approx(0.3)
    assert found.draws[:2] == (0.9, -0.9)


# --- the cascade ---------------------------------------------------------------------------------
def test_the_cascade_goes_from_the_head_to_the_layer_and_then_to_all() -> None:
    result = trust(network(0))
    assert [step.what for step in result.correlations] == [
        "Head",
        "Dense layer to Head",
        "Block 3 to Head",
        "Block 2 to Head",
        "all stages",
    ]
    assert all(len(step.draws) == sanity.DRAWS for step in result.correlations)
    assert all(0 <= step.mean <= 1 for step in result.correlations)


def test_a_layer_of_the_first_stage_ends_the_cascade_itself() -> None:
    result = trust(network(0), layer="block1.conv")
    assert [step.what for step in result.correlations][-2:] == ["Block 2 to Head", "all stages"]
    assert len(result.correlations) == 5


def test_stages_are_taken_from_the_random_network() -> None:
    one, other = network(0), network(1)
    mixed = sanity._mixed(one, other, ("dense", "head"))
    assert mixed.stage("block3") is one.stage("block3")
    assert mixed.stage("head") is other.stage("head")


def test_the_same_weights_in_place_of_random_ones_change_nothing() -> None:
    result = trust(network(0), randomised=lambda seed: network(0))
    assert result.verdict == "unchanged"
    assert not result.trusted
    assert all(step.mean == pytest.approx(1) for step in result.correlations)
    assert "(rank correlation 1.00)" in result.sentence


def test_random_batch_norms_take_the_picture_s_statistics() -> None:
    """Otherwise a random ResNet's numbers grow from block to block until nothing is left to see."""
    random = network(3, "resnet18", size=32)
    picture = image(32)
    sanity._measure_statistics(random, random.stage_names, picture)
    with torch.no_grad():
        features = random.eval().run(picture, last="layer4")
    assert features.isfinite().all()
    assert 0.1 < features.std() < 10
    result = trust_test(
        network(0, "resnet18", size=32).eval(),
        picture,
        target=0,
        layer="layer2",
        method="grad-cam",
        randomised=lambda seed: network(100 + seed, "resnet18", size=32),
    )
    last = result.correlations[-1]
    assert not np.isnan(last.draws).all()


# --- hiding --------------------------------------------------------------------------------------
def test_cells_go_in_the_map_s_order_and_equal_ones_in_no_order() -> None:
    values = np.zeros((4, 4))
    values[2, 3], values[0, 1] = 2, 1
    cells = Cells(values)
    assert cells.by_map[:2].tolist() == [11, 1]
    assert sorted(cells.by_map) == list(range(16))
    assert cells.by_map[2:].tolist() != sorted(cells.by_map[2:])
    assert all(sorted(order) == list(range(16)) for order in cells.at_random)


def test_fine_maps_are_averaged_into_cells() -> None:
    assert Cells(np.random.default_rng(0).random((56, 56))).shape == (14, 14)
    assert Cells(np.ones((3, 3))).shape == (3, 3)
    assert Cells(np.ones((2, 2))).counts.tolist() == [0, 1, 2, 3, 4]
    assert len(Cells(np.ones((14, 14))).counts) == hiding.STEPS + 1


class OneCell(nn.Module):
    """Class 1 exactly as far as the lower right quarter is bright."""

    def forward(self, x: Tensor) -> Tensor:
        score = x[:, 0, 8:, 8:].mean((1, 2)) * 15 - 7
        return torch.stack([torch.zeros_like(score), score], 1)


def test_the_curves_hide_and_show_what_they_say() -> None:
    net = StagedNet({"head": OneCell()})
    picture = torch.zeros(1, 1, 16, 16)
    picture[..., 8:, 8:] = 1
    mapped = np.zeros((4, 4))
    mapped[2:, 2:] = [[4, 3], [2, 1]]
    plan = Hiding(Cells(mapped), picture)
    batches: list[None] = []
    deletion, insertion = plan.curves(net, 1, lambda: batches.append(None))
    assert len(batches) == plan.batches
    whole, nothing = torch.tensor([8.0, 15 / 4 - 7]).sigmoid().tolist()  # hidden: the mean, 1/4
    for curve, start, end in ((deletion, whole, nothing), (insertion, nothing, whole)):
        assert curve.fractions[0] == 0
        assert curve.fractions[-1] == 1
        assert (np.diff(curve.fractions) > 0).all()
        for row in (curve.of_map, *curve.of_random):
            assert row[[0, -1]] == pytest.approx([start, end], abs=1e-6)
    # After a quarter of the cells all that counts is hidden, or shown.
    reached = np.searchsorted(deletion.fractions, 0.25)
    assert deletion.of_map[reached:] == pytest.approx(nothing, abs=1e-6)
    assert insertion.of_map[np.searchsorted(insertion.fractions, 0.25) :] == pytest.approx(
        whole, abs=1e-6
    )
    assert deletion.area < deletion.random_areas.min()
    assert insertion.area > insertion.random_areas.max()
    assert not net.training or net.stage("head").training  # as it was


def test_one_random_order_read_backwards_serves_both_tests() -> None:
    plan = Hiding(Cells(np.arange(16.0).reshape(4, 4)), image())
    deletion, insertion = plan.curves(network(0), 0, lambda: None)
    assert insertion.random_areas == pytest.approx(deletion.random_areas)


# --- place ---------------------------------------------------------------------------------------
def placement_of(mapped: np.ndarray) -> Placement:
    picture = torch.zeros(1, 1, 16, 16)
    picture[..., 8:, 8:] = 1
    batches: list[None] = []
    halves = Halves(StagedNet({"head": OneCell()}), picture, 1, lambda: batches.append(None))
    assert len(batches) == half_batches(picture)
    return halves.placement(torch.from_numpy(mapped).float())


def test_the_right_place_beats_every_shifted_copy() -> None:
    mapped = np.zeros((4, 4))
    mapped[2:, 2:] = 1
    found = placement_of(mapped)
    assert found.is_right
    assert found.as_good == 0
    assert found.p_value == pytest.approx(1 / 25)
    assert found.shown - found.hidden == pytest.approx(found.gain)
    assert 0 <= found.hidden < found.shown <= 1


def test_another_place_is_found_out_and_a_map_of_everything_is_not_trusted() -> None:
    mapped = np.zeros((4, 4))
    mapped[:2, :2] = 1
    found = placement_of(mapped)
    assert found.is_wrong
    assert found.gain < 0
    even = placement_of(np.ones((4, 4)))
    assert not even.is_right
    assert even.as_good == 24  # shifted, it is the same


def test_the_size_of_a_map_s_numbers_does_not_matter() -> None:
    mapped = np.zeros((4, 4))
    mapped[2:, 2:] = [[4, 3], [2, 1]]
    tiny = placement_of(mapped * 1e-30)
    assert tiny.gains == pytest.approx(placement_of(mapped).gains, abs=1e-6)


def test_halves_are_halves() -> None:
    shown = placement._masks(28, 28)
    assert shown.float().mean((1, 2)) == pytest.approx(0.5, abs=0.01)
    assert torch.equal(shown, placement._masks(28, 28))


def test_each_answer_s_sentence_has_the_numbers_that_decided() -> None:
    def sentence(gains: object, *, shown: float = 0.9, reaction: float = 0.5) -> tuple[str, str]:
        table = np.full((5, 5), 0.0)
        table.flat[: len(gains)] = gains  # type: ignore[arg-type]
        found = Placement(shown, shown - float(table[0, 0]), table, reaction)
        return trust_verdict(0.2, 0.1, found)

    answer, words = sentence([0.6])
    assert answer == "depends"
    assert "more of the map gets 90%, the half with less 30%" in words
    assert "none tell the halves apart" in words
    answer, words = sentence([0.6, 0.7, 0.7])
    assert answer == "cannot_tell"
    assert "2 of 24 copies" in words
    answer, words = sentence([-0.1])
    assert answer == "no_better"
    assert "24 of 24 copies" in words
    answer, words = sentence([0.01], reaction=0.02)
    assert answer == "cannot_tell"
    assert "whichever half" in words
    assert sentence([0.05])[0] == "cannot_tell"
    assert trust_verdict(0.2, 0.9, Placement(0.9, 0.1, np.eye(5), 0.5))[0] == "unchanged"
    assert trust_verdict(0.99, 0.1, Placement(0.9, 0.1, np.eye(5), 0.5))[0] == "unchanged"


# --- verdicts ------------------------------------------------------------------------------------
def test_without_a_gradient_the_map_is_not_meaningful() -> None:
    net = network(0)
    with torch.no_grad():
        for parameter in net.stage("head").parameters():
            parameter.zero_()
    result = trust(net)
    assert result.verdict == "not_meaningful"
    assert result.correlations == ()
    assert result.deletion is None
    assert "not meaningful" in result.sentence


def test_numbers_that_are_not_finite_are_told() -> None:
    net = network(0)
    with torch.no_grad():
        next(net.stage("block2").parameters()).fill_(float("inf"))
    with pytest.raises(DivergedError, match="not numbers"):
        trust(net)


def test_a_random_network_without_numbers_counts_as_no_map() -> None:
    def broken(seed: int) -> StagedNet:
        net = network(100 + seed)
        with torch.no_grad():
            next(net.stage("head").parameters()).fill_(float("nan"))
        return net

    result = trust(network(0), randomised=broken)
    assert np.isnan([step.draws for step in result.correlations]).all()


def test_an_untrained_network_is_not_trusted() -> None:
    result = trust(network(0))
    assert not result.trusted
    assert result.verdict == "cannot_tell"  # it answers a third to everything
    assert "whichever half of the picture" in result.sentence


def test_the_same_question_gets_the_same_answer() -> None:
    one, other = trust(network(0)), trust(network(0))
    assert one.correlations == other.correlations
    assert np.array_equal(one.deletion.of_random, other.deletion.of_random)  # type: ignore[union-attr]


def test_the_answer_is_plain_values() -> None:
    again = pickle.loads(pickle.dumps(trust(network(0))))
    assert again.correlations[0].what == "Head"
    assert isinstance(again.deletion.of_map, np.ndarray)


# --- the network in hand -------------------------------------------------------------------------
def hooks(net: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._backward_hooks) for m in net.modules())


def state(net: StagedNet) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in net.state_dict().items()}


def stop(after: int) -> Callable[[], bool]:
    asked = iter(range(10_000))
    return lambda: next(asked) >= after


@pytest.mark.parametrize("architecture", ["sign-cnn", "resnet18"])
@pytest.mark.parametrize("stops_after", [0, 3, 15, None])
def test_the_network_is_as_it_was(architecture: str, stops_after: int | None) -> None:
    """Weights and statistics bit for bit, modes, hooks, gradients: also when cancelled."""
    net = network(0, architecture, size=32)
    layer = "block2" if architecture == "sign-cnn" else "layer2"
    net.eval()
    net.stage("head").train()  # an odd mode, to see it restored
    modes = [module.training for module in net.modules()]
    before = state(net)
    given = {
        "layer": layer,
        "randomised": lambda seed: network(100 + seed, architecture, size=32),
        "cancel": stop(10_000 if stops_after is None else stops_after),
    }
    if stops_after is None:
        trust(net, image(32), **given)
    else:
        with pytest.raises(Cancelled):
            trust(net, image(32), **given)
    assert state(net) == before
    assert [module.training for module in net.modules()] == modes
    assert hooks(net) == 0
    assert all(parameter.requires_grad for parameter in net.parameters())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_an_error_on_the_way_leaves_nothing_behind() -> None:
    net = network(0)

    def broken(seed: int) -> StagedNet:
        if seed == 2:
            raise MemoryError("no room")
        return network(100 + seed)

    before = state(net)
    with pytest.raises(MemoryError):
        trust(net, randomised=broken)
    assert hooks(net) == 0
    assert state(net) == before


def test_progress_is_counted_to_the_end() -> None:
    told: list[Progress] = []
    trust(network(0), progress=told.append)
    assert [step.done for step in told] == list(range(1, told[-1].total + 1))


def test_one_other_network_is_alive_at_a_time() -> None:
    import weakref

    alive: list[weakref.ref[StagedNet]] = []

    def counted(seed: int) -> StagedNet:
        assert all(reference() is None for reference in alive)
        made = network(100 + seed)
        alive.append(weakref.ref(made))
        return made

    trust(network(0), randomised=counted)
    assert len(alive) == sanity.DRAWS


def test_the_first_figure_is_the_map_s_own() -> None:
    """The head alone: the layer is the trained one, so only the gradient can have changed."""
    net, other = network(0), network(101)
    found, _ = class_activation_maps(
        net, image(), targets=[1], layers=["block2"], method="grad-cam"
    )
    mixed = sanity._mixed(net, other, ("head",))
    new, _ = class_activation_maps(
        mixed, image(), targets=[1], layers=["block2"], method="grad-cam"
    )
    expected = rank_correlation(found["block2"].maps[0], new["block2"].maps[0])
    result = trust(net, method="grad-cam")
    assert result.correlations[0].draws[0] == pytest.approx(expected, nan_ok=True)
