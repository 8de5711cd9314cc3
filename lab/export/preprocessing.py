"""A picture's way into the network, as nodes of an ONNX graph.

    pixels (N, 3, H, W) uint8 RGB, any size
        ── square at the data set's size ── grey where its pictures are ── square at the network's
        ── grey or colour as the network takes it ── / 255 ── - mean, / std ── (N, C, S, S) float32

The same steps as `lab.evaluate.pictures.upload_picture` and `lab.data.preprocess`. ONNX Runtime's
antialiased bicubic Resize of uint8 rounds like Pillow's: one pixel of a hundred or fewer is a level
off; of some tall pictures, where Pillow begins with the other axis, a fifth, by up to two levels.
Channels come first, because a transposition before a Resize with `axes` is what ONNX Runtime's
optimiser, in 8 bits, moves behind it and gets wrong (1.32).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lab.data.decode import Fit
from lab.training.checkpoint import CheckpointMetadata

OPSET = 18
"""The first with an antialiased Resize."""
PIXELS = "pixels"


@dataclass
class Nodes:
    """Nodes and constants, in the order in which they are added; names are unique."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def add(self, kind: str, *inputs: str, count: int = 1, **attributes: Any) -> str:
        """Adds a node; returns the name of its (first) output."""
        name = f"picture/{len(self.nodes)}-{kind}"
        outputs = [name, *(f"{name}.{number}" for number in range(1, count))]
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=name, **attributes))
        return name

    def constant(self, values: Sequence[float] | int | float, kind: Any) -> str:
        name = f"picture/constant-{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(values, dtype=kind), name))
        return name


def preprocessing(card: CheckpointMetadata, *, output: str) -> Nodes:
    """Returns the nodes from PIXELS to `output`, which is what the run's network takes."""
    nodes, preprocess = Nodes(), card.preprocess
    size = preprocess.image_size
    own = card.data_image_size or size
    x = _square(nodes, PIXELS, own, card.fit)
    grey = card.data_channels == 1
    if grey:
        x = _luma(nodes, x)
    if own != size:
        x = _resize(nodes, x, nodes.constant([size, size], np.int64))
    if preprocess.channels == 1 and not grey:
        x = _luma(nodes, x)
    x = nodes.add("Cast", x, to=TensorProto.FLOAT)
    x = nodes.add("Div", x, nodes.constant(255.0, np.float32))
    mean = np.array(preprocess.mean, np.float64).reshape(1, -1, 1, 1)
    std = np.array(preprocess.std, np.float64).reshape(1, -1, 1, 1)
    # One of three channels to each of three: subtracting repeats a grey picture by itself.
    x = nodes.add("Mul", x, nodes.constant((1 / std).tolist(), np.float32))
    nodes.nodes.append(
        helper.make_node(
            "Add", [x, nodes.constant((-mean / std).tolist(), np.float32)], [output], name=output
        )
    )
    return nodes


def _square(nodes: Nodes, x: str, size: int, fit: Fit) -> str:
    """(N, 3, H, W) -> (N, 3, size, size) as `lab.data.decode.to_square`."""
    target = nodes.constant([size, size], np.int64)
    if fit == "stretch":
        return _resize(nodes, x, target)
    sides = nodes.add("Shape", x, start=2, end=4)
    if fit == "crop":
        # Pillow cuts half a pixel where the difference of the sides is odd, and lets pixels beyond
        # the cut reach into the edge: there a few levels more differ.
        shorter = nodes.add("ReduceMin", sides, keepdims=1)
        first = nodes.add("Div", nodes.add("Sub", sides, shorter), nodes.constant([2], np.int64))
        last = nodes.add("Add", first, shorter)
        axes = nodes.constant([2, 3], np.int64)
        return _resize(nodes, nodes.add("Slice", x, first, last, axes), target)
    exact = nodes.add("Cast", sides, to=TensorProto.DOUBLE)
    longer = nodes.add("ReduceMax", exact, keepdims=1)
    scale = nodes.add("Div", nodes.constant([size], np.float64), longer)
    rounded = nodes.add("Round", nodes.add("Mul", exact, scale))
    inside = nodes.add("Cast", rounded, to=TensorProto.INT64)
    inside = nodes.add("Max", inside, nodes.constant([1], np.int64))
    inside = nodes.add("Min", inside, nodes.constant([size], np.int64))
    x = _resize(nodes, x, inside)
    space = nodes.add("Sub", target, inside)
    first = nodes.add("Div", space, nodes.constant([2], np.int64))
    pads = nodes.add("Concat", first, nodes.add("Sub", space, first), axis=0)
    black = nodes.constant(0, np.uint8)
    return nodes.add("Pad", x, pads, black, nodes.constant([2, 3], np.int64))


def _resize(nodes: Nodes, x: str, sides: str) -> str:
    return nodes.add(
        "Resize", x, "", "", sides,
        mode="cubic", cubic_coeff_a=-0.5, antialias=1, exclude_outside=1, axes=[2, 3],
    )  # fmt: skip


def _luma(nodes: Nodes, x: str) -> str:
    """(N, 3, H, W) -> (N, 1, H, W): the whole numbers of Pillow's convert("L")."""
    weights = np.array([19595, 38470, 7471]).reshape(1, 3, 1, 1).tolist()
    parts = nodes.add(
        "Mul", nodes.add("Cast", x, to=TensorProto.INT32), nodes.constant(weights, np.int32)
    )
    total = nodes.add("ReduceSum", parts, nodes.constant([1], np.int64), keepdims=1)
    total = nodes.add("Add", total, nodes.constant(32768, np.int32))
    grey = nodes.add("Div", total, nodes.constant(65536, np.int32))
    return nodes.add("Cast", grey, to=TensorProto.UINT8)
