"""Inference on a gradwire server over loopback, input sent and output fetched, against ONNX Runtime in process."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime  # type: ignore[import-untyped]
from onnx import numpy_helper

from gradwire import Client, dtypes
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from measure import Row, alternate

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
MODELS = ("resnet50", "squeezenet", "densenet121", "vgg19", "shufflenet")
BATCHES = (1, 8)


def load(name: str, batch: int) -> onnx.ModelProto:
    """The suite's model for another batch: its weights are constants, its Reshapes keep the first extent."""
    model = onnx.load(LIGHT / f"light_{name}.onnx")
    graph = model.graph
    constants = {initializer.name: initializer for initializer in graph.initializer}
    for value in (*graph.input, *graph.output):
        if value.name not in constants:
            value.type.tensor_type.shape.dim[0].dim_value = batch
    del graph.value_info[:]
    for node in graph.node:
        if node.op_type != "Reshape" or node.input[1] not in constants:
            continue
        shape = numpy_helper.to_array(constants[node.input[1]]).copy()
        if shape[0] == 1:
            shape[0] = 0
            constants[node.input[1]].CopyFrom(numpy_helper.from_array(shape, node.input[1]))
    return model


def compare(client: Client, name: str, batch: int) -> Row:
    model = load(name, batch)
    initialized = {initializer.name for initializer in model.graph.initializer}
    (feed,) = (value.name for value in model.graph.input if value.name not in initialized)
    (out,) = (value.name for value in model.graph.output)
    x = np.random.default_rng(0).standard_normal((batch, 3, 224, 224), np.float32)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    peer = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    with client.session() as session:
        session.load_program(name, model.SerializeToString())

        def ours() -> np.ndarray:
            request = pb.ForwardRequest(program=name, feeds=[dtypes.to_proto(x, feed)], fetch=[out], no_grad=True)
            return dtypes.from_proto(session.run([request])[0].fetched[0])

        expected = peer.run([out], {feed: x})[0]
        np.testing.assert_allclose(ours(), expected, rtol=1e-3, atol=1e-5)
        return alternate(f"{name}, batch {batch}", ours, lambda: peer.run([out], {feed: x}), limit=1.05)


def run(client: Client) -> list[Row]:
    return [compare(client, name, batch) for name in MODELS for batch in BATCHES]
