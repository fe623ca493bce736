"""Gradients in every element type that the server's support matrix names, against those in float64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from gradient_cases import Array, Case
from onnx import TensorProto, helper

from gradwire import commands, dtypes
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire.errors import GradwireError
from gradwire.session import Session

# Agreement with float64 at the same point, relative to the largest element: rounding, and some amplification of it.
_TOLERANCES = {
    TensorProto.FLOAT: 1e-3,
    TensorProto.FLOAT16: 3e-2,
    TensorProto.BFLOAT16: 1e-1,
    TensorProto.DOUBLE: 1e-9,
}


def _node(case: Case, code: int) -> onnx.NodeProto:
    node = onnx.NodeProto()
    node.CopyFrom(case.node)
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.INT and attribute.i == TensorProto.DOUBLE:
            attribute.i = code if attribute.name in ("to", "dtype", "output_dtype") else attribute.i
    return node


def _normal(shape: Sequence[int], seed: int, dtype: np.dtype[np.generic]) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def gradients(session: Session, case: Case, arrays: dict[str, Array], code: int) -> list[dict[str, Array]]:
    """Of first and second order, by name of input, computed in an element type. `arrays`: the inputs in that type."""
    node, dtype = _node(case, code), dtypes.from_code(code)
    leaves = {name: arrays[name] for name in case.wrt}
    constants = {name: array for name, array in arrays.items() if name not in case.wrt}
    shapes = session.run([
        *([commands.put(constants)] if constants else []),
        commands.put(leaves, requires_grad=True),
        commands.forward([node], outputs=case.outputs, opset=case.opset),
    ])[-1]
    made = [info for info in shapes.outputs if info.requires_grad]
    ws = {f"w/{info.name}": _normal(info.spec.dims, i, dtypes.from_code(info.spec.data_type)) for i, info in enumerate(made)}
    session.run([commands.put(ws, requires_grad=True)])
    found = []
    roots, seeds, inputs = [info.name for info in made], {info.name: f"w/{info.name}" for info in made}, case.wrt
    for k in (1, 2):
        names = [f"g{k}/{name}" for name in inputs]
        answer, fetched = session.run([
            commands.gradients(roots, inputs, seeds=seeds, names=names, create_graph=True, allow_unused=True),
            commands.fetch(names),
        ])
        found.append({t.name: dtypes.from_proto(t) for t in fetched.tensors})
        live = [info for info in answer.gradients if info.requires_grad]
        if not live:
            break
        vs = {f"v/{info.name}": _normal(info.spec.dims, 10, dtype) for info in live}
        session.run([commands.put(vs)])
        roots, seeds = [info.name for info in live], {info.name: f"v/{info.name}" for info in live}
        inputs = [*case.wrt, *ws]
    return found


def check(session: Session, case: Case, code: int) -> str:
    """What is wrong with the gradients in an element type, "" when nothing is."""
    dtype = dtypes.from_code(code)
    arrays = case.nudged()
    typed = {n: a.astype(dtype) if a.dtype == np.float64 else a for n, a in arrays.items()}
    wide = {n: typed[n].astype(np.float64) if a.dtype == np.float64 else a for n, a in arrays.items()}
    try:
        found = gradients(session, case, typed, code)
        expected = gradients(session, case, wide, TensorProto.DOUBLE)
    except GradwireError as error:
        return f"{helper.tensor_dtype_to_string(code)}: {' '.join(str(error).split())}"
    for order, (got, wanted) in enumerate(zip(found, expected, strict=True), 1):
        for name, array in got.items():
            scale = max(1, np.abs(wanted[name]).max(initial=0))
            gap = np.abs(array.astype(np.float64) - wanted[name]).max(initial=0)
            if not gap <= _TOLERANCES[code] * scale:
                return f"{helper.tensor_dtype_to_string(code)}, order {order}, {name}: off by {gap / scale:.3g}"
    return ""
