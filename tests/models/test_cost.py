"""What a network costs, counted: against counts by hand."""

from lab.config import RunConfig
from lab.models.catalog import build_network
from lab.models.cost import StageCost, stage_costs


def counted(config: RunConfig, *, image_size: int) -> tuple[StageCost, ...]:
    network = build_network(config, channels=3, image_size=image_size, classes=5, device="meta")
    return stage_costs(network, channels=3, image_size=image_size)


def test_a_perceptron_multiplies_each_input_by_each_weight() -> None:
    hidden, head = counted(RunConfig(architecture="mlp", hidden_sizes=(50,)), image_size=8)
    pixels = 3 * 8 * 8
    assert hidden == StageCost(
        "hidden1", multiplications=50 * pixels, outputs=pixels + 50 + 50,
        parameters=50 * pixels + 50, layers=3,
    )  # fmt: skip
    assert head == StageCost(
        "head", multiplications=50 * 5, outputs=5, parameters=50 * 5 + 5, layers=1
    )


def test_a_resnet_costs_what_is_known_of_it() -> None:
    """1.8 thousand million multiplications and 11.2 million parameters at 224 pixels (He et al.
    2015, without the thousand classes)."""
    stages = counted(RunConfig(architecture="resnet18"), image_size=224)
    assert round(sum(s.multiplications for s in stages) / 1e9, 1) == 1.8
    assert round(sum(s.parameters for s in stages) / 1e6, 1) == 11.2
    assert stages[-1].multiplications == 512 * 5


def test_pixels_cost_a_convolution_in_proportion() -> None:
    small, large = (
        sum(s.multiplications for s in counted(RunConfig(architecture="resnet18"), image_size=n))
        for n in (64, 128)
    )
    assert abs(large / small - 4) < 0.01
