"""The network as ONNX, with a picture's way into it inside the graph, in 32 and in 8 bits.

The graph is recorded by torch's tracing exporter. Its successor (torch.export) gives the same
answers for 20 to 30 times the processor time, and while it works every thread of the process seems
to be compiling, one that trains too. Each export is proven on all images of a part, so a network
that tracing does not get right would be noticed.
"""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

from lab import __version__
from lab.data.batches import eval_images
from lab.evaluate.opened import Opened, open_data, open_own_network
from lab.export.formats import Written, measured_part
from lab.export.preprocessing import OPSET, PIXELS, preprocessing
from lab.export.proof import Proof, prove
from lab.export.provenance import as_texts, provenance, way_in_words
from lab.home import temporary_folder
from lab.progress import Cancel, Progress, Report, check_cancel
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.words import percent, size

_exporter = threading.Lock()
"""torch's exporter notes in its module that it is at work, and refuses a second thread."""

INPUT = "network_input"
CALIBRATION_IMAGES = 128


def onnx_model(run: RunRow, opened: Opened) -> onnx.ModelProto:
    """Returns the opened network as a model: PIXELS -> logits, probabilities."""
    return _from_pixels(_network_model(opened), run, opened)


def _network_model(opened: Opened) -> onnx.ModelProto:
    """Normalised images (n, C, S, S) -> logits (n, K)."""
    preprocess, buffer = opened.card.preprocess, io.BytesIO()
    example = torch.zeros(2, preprocess.channels, preprocess.image_size, preprocess.image_size)
    with _exporter:
        torch.onnx.export(
            opened.network,
            (example,),
            buffer,  # type: ignore[arg-type]  # this exporter writes to files, too
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=["logits"],
            dynamic_axes={INPUT: {0: "n"}, "logits": {0: "n"}},
        )
    return onnx.load_from_string(buffer.getvalue())


def _from_pixels(model: onnx.ModelProto, run: RunRow, opened: Opened) -> onnx.ModelProto:
    """Puts a picture's way into the network before it, and softmax and provenance behind it."""
    graph, card = model.graph, opened.card
    way = preprocessing(card, output=INPUT)
    nodes = [*way.nodes, *graph.node]
    nodes.append(helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1))
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.initializer.extend(way.constants)
    shape: list[str | int | None] = ["n", 3, "height", "width"]
    graph.input.append(helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, shape))
    classes = len(card.class_names)
    for name in ("logits", "probabilities"):
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", classes]))
    model.producer_name, model.producer_version = "epochlab", __version__
    model.doc_string = run.name
    facts = provenance(run, card, opened.checkpoint, opened.epoch) | {"opset": OPSET}
    helper.set_model_props(model, as_texts(facts))
    onnx.checker.check_model(model)
    return model


def _open(run: RunRow, checkpoint: str, report: Report, cancel: Cancel) -> Opened:
    report(Progress(0, 0, "Recording the network's graph"))
    opened = open_own_network(store().folder(run.id), checkpoint)
    check_cancel(cancel, "The export")
    return opened


def _proven(
    model: bytes, run: RunRow, checkpoint: str, report: Report, cancel: Cancel
) -> Proof | None:
    part = measured_part(run)
    return prove(model, run, checkpoint, part, report, cancel) if part else None


def _facts(run: RunRow, opened: Opened, proof: Proof | None) -> dict[str, Any]:
    return {
        "opset": OPSET,
        "input": [PIXELS, "uint8", ["n", 3, "height", "width"]],
        "outputs": ["logits", "probabilities"],
        "classes": list(opened.card.class_names),
        "proof": None if proof is None else proof.values(),
    }


_UNPROVEN = "The run has neither test nor validation images to prove it on."


def write_onnx(run: RunRow, checkpoint: str, path: Path, report: Report, cancel: Cancel) -> Written:
    opened = _open(run, checkpoint, report, cancel)
    model = onnx_model(run, opened).SerializeToString()
    path.write_bytes(model)
    proof = _proven(model, run, checkpoint, report, cancel)
    inside, outside = way_in_words(opened.card)
    first = _UNPROVEN if proof is None else proof.sentence
    about = (
        f"Opset {OPSET}; takes “{PIXELS}”, uint8, (N, 3, height, width). The "
        f"{len(opened.card.class_names)} class names, the settings and where the weights come from "
        "are in the file's metadata."
    )
    return Written((first, f"In the graph: {inside} {outside}", about), _facts(run, opened, proof))


def write_int8(run: RunRow, checkpoint: str, path: Path, report: Report, cancel: Cancel) -> Written:
    opened = _open(run, checkpoint, report, cancel)
    whole = onnx_model(run, opened).ByteSize()
    network, preprocess = _network_model(opened), opened.card.preprocess
    pack, splits = open_data(opened.card, progress=report, cancel=cancel)
    rows = splits.train[:: max(1, len(splits.train) // CALIBRATION_IMAGES)][:CALIBRATION_IMAGES]
    batches = iter(np.array_split(rows, -(-len(rows) // 8)))

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, Any] | None:
            check_cancel(cancel, "The export")
            batch = next(batches, None)
            if batch is None:
                return None
            return {INPUT: eval_images(pack, batch, preprocess, device="cpu").numpy()}

    report(Progress(0, 0, "Rounding the weights to 8 bits"))
    with temporary_folder(path) as place:
        rounded = place / "int8.onnx"
        quantize_static(
            network,
            str(rounded),
            Reader(),
            op_types_to_quantize=["Conv", "Gemm", "MatMul"],
            per_channel=True,
            # Seven bits of a weight: with eight, processors without VNNI overflow.
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        quantized = onnx.load(str(rounded))
    small = _from_pixels(quantized, run, opened).SerializeToString()
    path.write_bytes(small)
    proof = _proven(small, run, checkpoint, report, cancel)
    sentences = [
        f"{size(len(small))} in place of {size(whole)} in 32 bits. The ranges of 8 bits were "
        f"measured on {len(rows)} training images."
    ]
    if proof is None:
        sentences.append(_UNPROVEN)
    else:
        sentences.append(
            f"Accuracy {percent(proof.accuracy)} in place of {percent(proof.lab_accuracy)}. "
            f"{proof.sentence}"
        )
    facts = _facts(run, opened, proof) | {"bytes": len(small), "float_bytes": whole}
    return Written(tuple(sentences), facts)
