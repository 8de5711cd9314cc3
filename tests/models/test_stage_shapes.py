"""Stage by stage: what each gives on, and its layers."""

import pytest
import torch

from lab.config import RunConfig
from lab.models.architecture import ARCHITECTURES
from lab.models.catalog import build_network
from lab.models.freezing import count_parameters
from lab.models.summary import stage_shapes
from lab.models.tokens import maps_of


@pytest.mark.parametrize("name", ARCHITECTURES.names())
def test_the_stages_are_those_of_a_real_pass(name: str) -> None:
    size = max(64, ARCHITECTURES.get(name).min_image_size)
    config = RunConfig(architecture=name)
    meta = build_network(config, channels=3, image_size=size, classes=3, device="meta")
    stages = stage_shapes(meta, channels=3, image_size=size)
    net = build_network(config, channels=3, image_size=size, classes=3).eval()
    x = torch.zeros(1, 3, size, size)
    with torch.inference_mode():
        for stage in stages:
            x = net.run(x, first=stage.name, last=stage.name)
            assert stage.output_shape == tuple(maps_of(net.stage(stage.name), x).shape[1:])
            assert stage.parameters == count_parameters(net.stage(stage.name))
            own = sum(layer.parameters for layer in stage.layers)
            assert own <= stage.parameters  # ConvNeXt scales outside its layers
            assert stage.layers
    assert [stage.name for stage in stages] == list(net.stage_names)
    assert stages[-1].output_shape == (3,)


def test_a_window_is_part_of_the_kind() -> None:
    net = build_network(RunConfig(), channels=3, image_size=32, classes=2, device="meta")
    kinds = {layer.kind for s in stage_shapes(net, channels=3, image_size=32) for layer in s.layers}
    assert {"Conv2d 3×3", "MaxPool2d 2×2", "Linear"} <= kinds
