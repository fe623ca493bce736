"""Operations of a session on its tensors, and tensors made from nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from gradwire import commands, dtypes, errors, infer
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire.autograd import checkpointed_block, is_anomaly_enabled, is_grad_enabled
from gradwire.batch import Entry, Mode, call_site
from gradwire.binding import Binding
from gradwire.infer import Spec
from gradwire.lazy import LazySession
from gradwire.tensor import Tensor
from gradwire.verbs import INLINE_BYTES

if TYPE_CHECKING:
    from gradwire.session import Session


class Operations(LazySession):
    """Makes tensors, and notes operations on them down."""

    # ------------------------------------------------------------ tensors

    def tensor(
        self,
        value: Any,
        dtype: npt.DTypeLike | None = None,
        *,
        requires_grad: bool = False,
        name: str | None = None,
    ) -> Tensor:
        """A new leaf with a copy of `value` (numbers, nested lists, arrays). Python floats become float32.

        With a `name` the tensor is bound under it, replaces what was there, and outlives this object; otherwise the
        server forgets it with this object. Arrays above 4 MiB are streamed at once.
        """
        array = dtypes.as_array(value, dtype)
        if requires_grad and not dtypes.is_floating(array.dtype):
            raise errors.InvalidArgument("Only Tensors of floating point and complex dtype can require gradients")
        with self._lock:
            binding = self._binding(name, Spec(array.dtype, array.shape), requires_grad=requires_grad)
            if dtypes.nbytes(array.dtype, array.shape) > INLINE_BYTES:
                if name is not None:
                    self.flush()
                self._learn(self._put_stream({binding.name: array}, requires_grad, None))
            elif name is not None:
                request = commands.put({name: array}, requires_grad=requires_grad)
                self._add(Entry(request, (), (name,), call_site(), pure=False))
            else:
                self._batch.put(dtypes.to_proto(array, binding.name), requires_grad)
                self._flush_if_large()
            return self._object(binding)

    def as_tensor(self, value: Any, dtype: npt.DTypeLike | None = None) -> Tensor:
        """`value` itself where it is a tensor of this session, otherwise a new leaf."""
        if isinstance(value, Tensor):
            if value.session is not self:
                raise ValueError("the tensors belong to different sessions")
            return value
        return self.tensor(value, dtype)

    def get(self, name: str) -> Tensor:
        """The tensor bound to `name`. Raises TensorNotFound."""
        info = self.describe_tensor(name)
        return self.named(info)

    def named(self, info: pb.TensorInfo) -> Tensor:
        """The tensor that the server described."""
        with self._lock:
            spec = Spec(dtypes.from_code(info.spec.data_type), tuple(info.spec.dims))
            binding = self._binding(info.name, spec, requires_grad=info.requires_grad)
            binding.grad_fn = info.grad_fn
            return self._object(binding)

    def _object(self, binding: Binding) -> Tensor:
        return Tensor(cast("Session", self), binding)

    # ------------------------------------------------------------ operations

    def op(
        self,
        op_type: str,
        inputs: Sequence[Any],
        attributes: Mapping[str, Any] | None = None,
        outputs: int = 1,
        *,
        name: str = "",
        domain: str = "",
    ) -> Any:
        """Runs any ONNX operator, at the newest opset that the server knows; a tuple where `outputs` is not 1.

        Inputs are tensors, arrays, numbers, or None for an optional one left out. Attributes that are None are left
        out; a graph, an array or a dtype is an attribute too. `name` labels the node in errors.
        """
        given = {key: value for key, value in (attributes or {}).items() if value is not None}
        with self._lock:
            operands = [None if value is None else self.as_tensor(value).checked() for value in inputs]
            present = [operand for operand in operands if operand is not None]
            live = any(operand.binding.requires_grad for operand in present)
            recorded = live and is_grad_enabled()
            known = [operand.binding.spec if operand is not None else None for operand in operands]
            specs = [Spec()] * outputs if domain else infer.infer(op_type, known, given, outputs)
            results = [self._result(op_type, spec, present, recorded) for spec in specs]
            node = commands.node(
                op_type, operands, [r.name for r in results], given, name=name, domain=domain
            )
            reads = tuple(node.input) + tuple(commands.free_names(node))
            writes = tuple(node.output)
            mode = Mode(live and not recorded, is_anomaly_enabled(), checkpointed_block() if is_grad_enabled() else 0)
            self._add(Entry(node, tuple(n for n in reads if n), writes, call_site(), mode=mode))
            return results[0] if outputs == 1 else tuple(results)

    def _result(self, op_type: str, spec: Spec, operands: Iterable[Tensor], recorded: bool) -> Tensor:
        recorded = recorded and (spec.dtype is None or dtypes.is_floating(spec.dtype))
        binding = self._binding(None, spec, requires_grad=recorded, grad_fn=op_type if recorded else "")
        if recorded:
            graphs = (o.binding.epoch for o in operands if o.binding.grad_fn)
            binding.epoch = min((binding.epoch, *graphs))
        return self._object(binding)

    def constant(self, value: Any, dtype: npt.DTypeLike | None = np.int64) -> Tensor:
        """A constant of the graph, for what says shapes, axes and modes: the server may plan with its value."""
        result: Tensor = self.op("Constant", [], {"value": dtypes.as_array(value, dtype)})
        return result

    def call_program(
        self,
        program: str,
        feeds: Mapping[str, Any],
        outputs: Mapping[str, Spec],
        trainable: bool,
        checkpoint: int = 0,
    ) -> list[Tensor]:
        """Runs a loaded program on tensors or arrays by input name; the results in the order of `outputs`.

        `checkpoint`: in how many spans of nodes it is computed again on the way back.
        """
        with self._lock:
            operands = {key: self.as_tensor(value).checked() for key, value in feeds.items()}
            live = trainable or any(operand.binding.requires_grad for operand in operands.values())
            recorded = live and is_grad_enabled()
            results = [self._result(program, spec, operands.values(), recorded) for spec in outputs.values()]
            bindings = {key: operand.name for key, operand in operands.items()}
            bindings.update((key, result.name) for key, result in zip(outputs, results, strict=True))
            request = commands.forward(
                program=program,
                bindings=bindings,
                no_grad=not is_grad_enabled(),
                detect_anomaly=is_anomaly_enabled(),
                checkpoint=checkpoint or int(checkpointed_block() > 0),
            )
            reads = tuple(operand.name for operand in operands.values())
            self._add(Entry(request, reads, tuple(result.name for result in results), call_site()))
            return results

    def rebind(self, source: Tensor, target: str, *, requires_grad: bool | None = None) -> Tensor:
        """Binds a name to what `source` stands for: graph included, or as a new leaf where `requires_grad` is given."""
        with self._lock:
            origin = source.checked().binding
            if requires_grad is None:
                request: commands.Request = commands.copy(source, target)
                binding = self._binding(target, origin.spec, requires_grad=origin.requires_grad, grad_fn=origin.grad_fn)
            else:
                request = commands.detach(source, target, requires_grad=requires_grad)
                binding = self._binding(target, origin.spec, requires_grad=requires_grad)
            self._add(Entry(request, (origin.name,), (target,), call_site(), pure=False))
            return self._object(binding)

    def detached(self, source: Tensor) -> Tensor:
        """A new tensor that shares the storage of `source` and carries no graph."""
        with self._lock:
            binding = self._binding(None, source.checked().binding.spec)
            request = commands.detach(source, binding.name)
            self._add(Entry(request, (source.name,), (binding.name,), call_site()))
            return self._object(binding)

    # ------------------------------------------------------------ creation

    def full(self, shape: Sequence[int], value: Any, dtype: npt.DTypeLike = np.float32) -> Tensor:
        """A tensor filled with one value, made on the server."""
        element = np.asarray([value], dtype)
        result: Tensor = self.op("ConstantOfShape", [self.constant(list(shape))], {"value": element})
        return result

    def zeros(self, *shape: int, dtype: npt.DTypeLike = np.float32, requires_grad: bool = False) -> Tensor:
        """Zeros, made on the server."""
        return self._leaf(self.full(shape, 0, dtype), requires_grad)

    def ones(self, *shape: int, dtype: npt.DTypeLike = np.float32, requires_grad: bool = False) -> Tensor:
        """Ones, made on the server."""
        return self._leaf(self.full(shape, 1, dtype), requires_grad)

    def randn(self, *shape: int, dtype: npt.DTypeLike = np.float32, requires_grad: bool = False) -> Tensor:
        """Draws from the standard normal distribution, by the session's generator."""
        result = self.op("RandomNormal", [], {"shape": list(shape), "dtype": np.dtype(dtype)})
        return self._leaf(result, requires_grad)

    def rand(self, *shape: int, dtype: npt.DTypeLike = np.float32, requires_grad: bool = False) -> Tensor:
        """Draws from the uniform distribution over [0, 1), by the session's generator."""
        result = self.op("RandomUniform", [], {"shape": list(shape), "dtype": np.dtype(dtype)})
        return self._leaf(result, requires_grad)

    def arange(self, *bounds: float, dtype: npt.DTypeLike | None = None) -> Tensor:
        """Numbers from start (0) to end by step (1), as `range` counts."""
        whole = all(isinstance(bound, int) for bound in bounds)
        return self.tensor(np.arange(*bounds, dtype=dtype or (np.int64 if whole else np.float32)))

    def _leaf(self, made: Tensor, requires_grad: bool) -> Tensor:
        return made.requires_grad_() if requires_grad else made
