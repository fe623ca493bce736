"""ONNX's reference evaluator as the function of a case."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import onnx
from gradient_cases import Array, Case
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator


def _narrowed(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with float32 for float64."""
    narrow = onnx.ModelProto()
    narrow.CopyFrom(model)
    for value in (*narrow.graph.input, *narrow.graph.output):
        if value.type.tensor_type.elem_type == TensorProto.DOUBLE:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    return narrow


class Reference:
    """The evaluator's values of a case's outputs, in float32 where it cannot compute them in float64."""

    def __init__(self, case: Case, arrays: Mapping[str, Array]) -> None:
        self._case = case
        self._arrays = arrays
        self._dtype = np.float64
        self._evaluator = ReferenceEvaluator(case.model)
        try:
            self.outputs({name: arrays[name] for name in case.wrt})
        except Exception:  # It raises whatever NumPy does; what it raises again, in float32, is the caller's.
            self._dtype = np.float32
            self._evaluator = ReferenceEvaluator(_narrowed(case.model))

    def outputs(self, xs: Mapping[str, Array]) -> dict[str, Array]:
        """By name."""
        feeds = {
            name: array.astype(self._dtype) if array.dtype == np.float64 else array
            for name, array in {**self._arrays, **xs}.items()
        }
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            found = self._evaluator.run(self._case.outputs, feeds)
        return {name: np.asarray(array) for name, array in zip(self._case.outputs, found, strict=True)}
