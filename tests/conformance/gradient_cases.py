"""Which operators have gradients, and calls of them taken from ONNX's node tests, in float64."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, defs, helper, numpy_helper
from onnx.backend.test.loader import load_model_tests

Array = npt.NDArray[Any]

_DIFFERENTIABLE = defs.OpSchema.DifferentiationCategory.Differentiable
_NON_DIFFERENTIABLE = defs.OpSchema.DifferentiationCategory.NonDifferentiable
_FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}
# Attributes that name an element type; a floating one becomes float64 with the inputs.
_TYPE_ATTRIBUTES = {"to", "dtype", "stash_type", "softmax_precision", "output_dtype"}
# Where moving towards zero would leave the domain.
_AWAY_FROM_ZERO = {"Acosh"}
# Floating inputs of untagged operators that say where to read or write; as in PyTorch, they have no gradient.
_PLACES = {("RoiAlign", "rois"), ("OneHot", "indices"), ("OneHot", "depth")}
# A case with more elements than this costs more than it tells.
_MOST_ELEMENTS = 150_000


@dataclass
class Case:
    """One call of an operator. `arrays` holds what it reads by name."""

    op: str
    name: str
    model: onnx.ModelProto
    arrays: dict[str, Array]
    # The floating inputs that may have a gradient, and the outputs that carry it, by name.
    wrt: list[str]
    outputs: list[str]

    @property
    def node(self) -> onnx.NodeProto:
        """The call itself."""
        return self.model.graph.node[0]

    @property
    def opset(self) -> dict[str, int]:
        """The opset versions that it means."""
        return {entry.domain: entry.version for entry in self.model.opset_import}

    def nudged(self, attempt: int = 0) -> dict[str, Array]:
        """The arrays, those of `wrt` moved off ties, zeros and ends of domains: the same for the same attempt."""
        generator = np.random.default_rng([crc32(self.name.encode()), attempt])
        moved = dict(self.arrays)
        for name in self.wrt:
            array = self.arrays[name]
            part = generator.uniform(0.01, 0.05, array.shape)
            away = self.op in _AWAY_FROM_ZERO
            moved[name] = np.asarray(np.where(array == 0, part, array * (1 + part if away else 1 - part)))
        return moved

    def size(self) -> int:
        """Elements that have a gradient."""
        return sum(self.arrays[name].size for name in self.wrt)


@functools.cache
def schemas() -> dict[str, defs.OpSchema]:
    """The newest schema of each operator of the default domain."""
    return {s.name: s for s in defs.get_all_schemas() if s.domain == "" and not s.deprecated}


@functools.cache
def tagged_ops() -> list[str]:
    """Operators with an input that ONNX tags differentiable."""
    return sorted(
        name
        for name, schema in schemas().items()
        if any(entry.differentiation_category == _DIFFERENTIABLE for entry in schema.inputs)
    )


def _formals(entries: Any, count: int) -> list[Any]:
    """The schema's entry for each of `count` actual inputs or outputs: the last one may be variadic."""
    return [entries[min(i, len(entries) - 1)] for i in range(count)]


def _allows_double(schema: defs.OpSchema, type_string: str) -> bool:
    allowed = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
    return "tensor(double)" in allowed.get(type_string, [type_string])


def _double_attributes(node: onnx.NodeProto) -> None:
    for attribute in node.attribute:
        if attribute.name in _TYPE_ATTRIBUTES and attribute.i in _FLOATS:
            attribute.i = TensorProto.DOUBLE


def _castable(array: Array, loose: bool) -> bool:
    return array.dtype.name in ("float16", "float32", "float64", "bfloat16") or (loose and array.dtype.kind in "iu")


def _cast_inputs(case: Case, schema: defs.OpSchema, loose: bool) -> set[str]:
    """Makes inputs float64 and notes which of them have gradients; type parameters of the inputs tagged for it."""
    formals = dict(zip(case.node.input, _formals(schema.inputs, len(case.node.input)), strict=True))
    tagged = {f.type_str for f in formals.values() if f.differentiation_category == _DIFFERENTIABLE}
    for name, formal in formals.items():
        if name not in case.arrays or not _castable(case.arrays[name], loose and formal.type_str in tagged):
            continue
        differentiable = formal.differentiation_category == _DIFFERENTIABLE
        if not (formal.type_str in tagged or loose or _allows_double(schema, formal.type_str)):
            continue
        array = case.arrays[name].astype(np.float64)
        case.arrays[name] = np.nan_to_num(array, posinf=1, neginf=-1) if loose else array
        if array.size and (differentiable or not tagged) and (schema.name, formal.name) not in _PLACES:
            case.wrt.append(name)
    return tagged


def build(op: str, name: str, model: onnx.ModelProto, inputs: list[Array], loose: bool = False) -> Case | None:
    """The case of a model of one node, in float64; None where nothing in it has a gradient.

    `loose`: integers become floating too, numbers that are not finite finite, and types float64 that the schema
    would have narrower.
    """
    graph, schema = model.graph, schemas()[op]
    arrays = {value.name: array for value, array in zip(graph.input, inputs, strict=False)}
    case = Case(op, name, model, arrays, [], [])
    types = _cast_inputs(case, schema, loose)
    _double_attributes(case.node)
    made = {value.name: value.type.tensor_type for value in graph.output}
    tagged = op in tagged_ops()
    for actual, formal in zip(case.node.output, _formals(schema.outputs, len(case.node.output)), strict=True):
        counts = formal.differentiation_category != _NON_DIFFERENTIABLE or not tagged
        double = formal.type_str in types or loose or _allows_double(schema, formal.type_str)
        floating = actual in made and (made[actual].elem_type in _FLOATS or (loose and formal.type_str in types))
        if counts and double and floating:
            made[actual].elem_type = TensorProto.DOUBLE
            case.outputs.append(actual)
    for value in graph.input:
        if value.name in arrays and arrays[value.name].dtype == np.float64:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    finite = all(np.isfinite(arrays[actual]).all() for actual in case.wrt)
    small = sum(array.size for array in arrays.values()) <= _MOST_ELEMENTS
    return case if case.wrt and case.outputs and finite and small else None


def _read(path: Path) -> Array:
    tensor = TensorProto.FromString(path.read_bytes())
    return np.asarray(numpy_helper.to_array(tensor))


def _suite() -> Iterator[tuple[str, onnx.ModelProto, list[Array]]]:
    """ONNX's node tests of one node whose inputs are arrays."""
    for test in sorted(load_model_tests(kind="node"), key=lambda one: str(one.name)):
        folder = Path(str(test.model_dir))
        model = onnx.load(folder / "model.onnx")
        graph = model.graph
        plain = all(value.type.HasField("tensor_type") for value in [*graph.input, *graph.output])
        if len(graph.node) != 1 or graph.node[0].domain or not plain or graph.initializer:
            continue
        files = [folder / "test_data_set_0" / f"input_{i}.pb" for i in range(len(graph.input))]
        yield test.name, model, [_read(path) for path in files]


def made_case(op: str, inputs: list[Array], **attributes: Any) -> tuple[str, onnx.ModelProto, list[Array]]:
    """A call for an operator that the suite has no test of."""
    names = [f"x{i}" for i in range(len(inputs))]
    node = helper.make_node(op, names, ["y"], **attributes)
    values = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in zip(names, inputs, strict=True)
    ]
    made = [helper.make_tensor_value_info("y", TensorProto.DOUBLE, None)]
    return f"made_{op.lower()}", helper.make_model(helper.make_graph([node], op, values, made)), inputs


def _made() -> Iterator[tuple[str, onnx.ModelProto, list[Array]]]:
    generator = np.random.default_rng(0)
    image = generator.standard_normal((1, 2, 6, 6))
    regions = np.array([[0, 0, 0, 3, 3], [0, 1, 2, 5, 5]], np.float64)
    yield made_case("GlobalLpPool", [image], p=3)
    yield made_case("MaxRoiPool", [image, regions], pooled_shape=[2, 2])


@functools.cache
def cases_by_op() -> dict[str, list[Case]]:
    """The usable cases of each operator; loose ones where it has no others.

    First comes the one for checks element by element: the most inputs, and few elements, but more than three.
    """
    known = schemas()
    found: dict[str, list[Case]] = {}
    for loose in (False, True):
        judged = set(found)
        for name, model, inputs in (*_suite(), *_made()):
            op = model.graph.node[0].op_type
            case = build(op, name, model, inputs, loose) if op in known and op not in judged else None
            if case is not None:
                found.setdefault(op, []).append(case)
    return {op: sorted(cases, key=lambda c: (-len(c.wrt), c.size() < 4, c.size())) for op, cases in found.items()}
