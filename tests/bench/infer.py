"""Inference on a gradwire server over loopback, called from Python and from C++, input sent and output fetched, against ONNX
Runtime: in process, and behind a plain Python gRPC server."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnx
from onnx import numpy_helper

import gradwire
from gradwire import Client, commands
from measure import REST_S, Metric, Row, Timer, alternate, alternate_timers, floor_of, row_of, seconds
from ort_server import METHOD, OPTIONS, inference
from report import Result
from setting import Setting

sys.path.append(str(Path(__file__).resolve().parents[1] / "conformance"))
import models

Array = np.ndarray[Any, Any]

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
MODELS = ("resnet50", "squeezenet", "densenet121", "vgg19", "shufflenet", "bert")
BATCHES = (1, 8)


def bert(batch: int) -> onnx.ModelProto:
    """BERT base (Devlin et al., 2018) in shape, for 128 tokens."""
    return models.transformer(batch, length=128, layers=12, hidden=768, heads=12, vocabulary=30522)


def made(name: str, batch: int) -> tuple[onnx.ModelProto, dict[str, Any], str]:
    """A model, its input, and the output to fetch."""
    if name == "bert":
        model = bert(batch)
        return model, models.inputs_of(model), "logits"
    model = onnx.load(LIGHT / f"light_{name}.onnx")
    models.set_batch(model, batch)
    initialized = {initializer.name for initializer in model.graph.initializer}
    (feed,) = (value.name for value in model.graph.input if value.name not in initialized)
    (out,) = (value.name for value in model.graph.output)
    return model, {feed: np.random.default_rng(0).standard_normal((batch, 3, 224, 224), np.float32)}, out


def model_floor(model: onnx.ModelProto, feeds: dict[str, Any], out: str) -> str:
    """Of its products and convolutions; each weight, the input and the output once."""
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
              for value in (*graph.input, *graph.value_info, *graph.output)}  # fmt: skip
    shapes |= {weight.name: list(weight.dims) for weight in graph.initializer}
    flops, computed, weights = 0, set(feeds), set[str]()
    for node in graph.node:
        if computed.isdisjoint(node.input):
            continue  # of constants
        weights |= set(node.input) - computed - {""}
        computed |= set(node.output)
        if node.op_type in ("Conv", "Gemm", "MatMul"):
            a, b, y = (shapes[name] for name in (*node.input[:2], node.output[0]))
            flops += 2 * math.prod(y) * (math.prod(b[1:]) if node.op_type == "Conv" else math.prod(a) // math.prod(y[:-1]))
    elements = sum(math.prod(shapes[name]) for name in (*weights, *feeds, out))
    return floor_of(flops, 4 * elements)


@contextmanager
def served(path: Path, out: str, threads: int, feeds: dict[str, Any]) -> Iterator[Callable[[], Any]]:
    """A call of the same model behind the Python server."""
    command = [sys.executable, str(Path(__file__).parent / "ort_server.py"), str(path), out, str(threads)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        with grpc.insecure_channel(process.stdout.readline().strip(), options=OPTIONS) as channel:
            call = channel.unary_unary(METHOD)

            def run() -> Any:
                arrays = [numpy_helper.from_array(array, name) for name, array in feeds.items()]
                request = onnx.SequenceProto(tensor_values=arrays).SerializeToString()
                return numpy_helper.to_array(onnx.TensorProto.FromString(call(request)))

            yield run
    finally:
        process.kill()
        process.wait()


@contextmanager
def called_from_cpp(setting: Setting, target: str, model: Path, request: Any) -> Iterator[tuple[Array, Timer]]:
    """What infer_client.cc fetched first, and how long its calls take."""
    path = model.parent / "request"
    path.write_bytes(request.SerializeToString())
    command = [str(setting.build / "gradwire-infer-client"), target, str(model), str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    asking, answers = process.stdin, process.stdout

    def answer() -> str:
        line = answers.readline()
        if not line:
            raise RuntimeError(f"{command[0]} ended with status {process.wait()}")
        return line

    def time_of(calls: int) -> float:
        time.sleep(REST_S)
        print(calls, file=asking, flush=True)
        return float(answer())

    try:
        yield np.frombuffer(bytes.fromhex(answer()), np.float32), time_of
    finally:
        asking.close()
        process.wait()
        answers.close()


def compare(setting: Setting, client: Client, target: str, name: str, batch: int) -> list[Row]:
    model, feeds, out = made(name, batch)
    threads = len(os.sched_getaffinity(0))
    packed = model.SerializeToString()
    peer = inference(packed, threads)
    with tempfile.TemporaryDirectory() as folder, client.session() as session:
        path = Path(folder) / "model.onnx"
        path.write_bytes(packed)
        session.load_program(name, packed)

        def ours() -> Any:
            return session.forward(program=name, feeds=feeds, fetch=[out], no_grad=True)[1][0]

        def in_process() -> Any:
            return peer.run([out], feeds)[0]

        case, floor = f"{name}, batch {batch}", model_floor(model, feeds, out)
        tolerance = {"rtol": 1e-3, "atol": 1e-3 if name == "bert" else 1e-5}
        expected, pairs = in_process(), setting.pairs
        np.testing.assert_allclose(ours(), expected, **tolerance)
        rows = [alternate(f"{case}, against ONNX Runtime", ours, in_process, pairs=pairs, limit=1.05, floor=floor)]
        request = commands.forward(program="model", feeds=feeds, fetch=[out], no_grad=True)
        with called_from_cpp(setting, target, path, request) as (found, time_of):
            np.testing.assert_allclose(found.reshape(expected.shape), expected, **tolerance)
            times = alternate_timers(time_of, partial(seconds, in_process), pairs=pairs)
            named = f"{case}, called from C++, against ONNX Runtime"
            rows.append(row_of(named, "seconds", times, Metric(1.05), floor))
        with served(path, out, threads, feeds) as remote:
            np.testing.assert_allclose(remote(), expected, **tolerance)
            rows.append(alternate(f"{case}, against ONNX Runtime behind gRPC", ours, remote, pairs=pairs, floor=floor))
        return rows


def run(setting: Setting) -> Result:
    with setting.server() as server, gradwire.connect(server.target) as client:
        cases = [(name, batch) for name in MODELS for batch in BATCHES]
        return Result([row for case in cases for row in compare(setting, client, server.target, *case)])
