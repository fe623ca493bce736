"""A tensor of a session, with PyTorch's feel: its autograd side, and how it becomes an array."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from gradwire import dtypes
from gradwire.arithmetic import Arithmetic
from gradwire.autograd import is_grad_enabled
from gradwire.binding import OWN_PREFIX
from gradwire.dtypes import Array
from gradwire.reductions import Reductions
from gradwire.shaping import Shaping

# Tensors of more elements are described by `repr`, not fetched.
_REPR_ELEMENTS = 1000


class GradFn:
    """The operation that computed a tensor."""

    def __init__(self, op_type: str) -> None:
        self._op_type = op_type

    def name(self) -> str:
        """As PyTorch would spell it: "PowBackward0"."""
        return f"{self._op_type}Backward0"

    def __repr__(self) -> str:
        return f"<{self.name()}>"


class Tensor(Arithmetic, Reductions, Shaping):
    """An immutable array on the server, under a name of its own.

    Operations are noted down and sent in batches: see `gradwire.session`. In-place methods make this object stand for a
    new array; graphs that saw the old one keep it.
    """

    # For the objects that `.data` returns: the tensor that in-place methods change.
    _origin: Tensor | None = None

    # ------------------------------------------------------------ arrays

    def numpy(self, *, force: bool = False, progress: bool | None = None) -> Array:
        """A copy of the array, row-major. Raises PyTorch's errors for a live graph or another device, unless `force`."""
        if not force:
            if self.device.startswith("cuda"):
                raise TypeError(
                    f"can't convert {self.device} device type tensor to numpy. "
                    "Use Tensor.cpu() to copy the tensor to host memory first."
                )
            if is_grad_enabled() and self.requires_grad:
                raise RuntimeError(
                    "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
                )
        return self.session.fetch_tensors([self], progress=progress)[0]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("a tensor on a server cannot become an array without a copy")
        array = self.numpy()
        return array if dtype is None else array.astype(dtype)

    def item(self) -> Any:
        """The Python number of a tensor of one element, of any shape."""
        array = self.session.fetch_tensors([self])[0]
        if array.size != 1:
            raise RuntimeError(f"a Tensor with {array.size} elements cannot be converted to Scalar")
        return array.reshape(-1)[0].item() if array.dtype != object else array.reshape(-1)[0]

    def tolist(self) -> Any:
        """Nested lists of Python numbers; a number for a 0-dim tensor."""
        return self.session.fetch_tensors([self])[0].tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if dtypes.category(self.dtype) > dtypes.INT:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __bool__(self) -> bool:
        if self.numel() != 1:
            raise RuntimeError(f"Boolean value of Tensor with {self.numel()} values is ambiguous")
        return bool(self.item())

    def __repr__(self) -> str:
        if self.numel() > _REPR_ELEMENTS:
            parts = ["..."]
        else:
            parts = [_format(self.session.fetch_tensors([self])[0])]
        if self.numel() == 0 or self.numel() > _REPR_ELEMENTS:
            parts.append(f"size={self.shape}")
        if self.dtype not in (np.float32, np.int64, np.bool_):
            parts.append(f"dtype={self.dtype}")
        if self.binding.grad_fn:
            parts.append(f"grad_fn={self.grad_fn}")
        elif self.requires_grad:
            parts.append("requires_grad=True")
        return f"tensor({', '.join(parts)})"

    # ------------------------------------------------------------ dtypes and devices

    def astype(self, dtype: npt.DTypeLike) -> Tensor:
        """Itself as another dtype."""
        return self._op("Cast", self, to=dtypes.from_code(dtypes.to_code(dtype)))

    def float(self) -> Tensor:
        """As float32."""
        return self.to(np.float32)

    def double(self) -> Tensor:
        """As float64."""
        return self.to(np.float64)

    def long(self) -> Tensor:
        """As int64."""
        return self.to(np.int64)

    def bool(self) -> Tensor:
        """As bool."""
        return self.to(np.bool_)

    def cpu(self) -> Tensor:
        """On the CPU."""
        return self.to("cpu")

    # ------------------------------------------------------------ autograd

    @property
    def requires_grad(self) -> Any:
        """Whether gradients with respect to it are recorded."""
        if self.binding.requires_grad and self.binding.spec.dtype is None:
            self._resolve()
        return self.binding.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: Any) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: Any = True) -> Tensor:
        """Makes a leaf collect gradients, or not."""
        if self.binding.grad_fn:
            message = "you can only change requires_grad flags of leaf variables."
            if not requires_grad:
                message += (
                    " If you want to use a computed variable in a subgraph that doesn't require differentiation use "
                    "var_no_grad = var.detach()."
                )
            raise RuntimeError(message)
        if requires_grad and not dtypes.is_floating(self.dtype):
            raise RuntimeError("only Tensors of floating point and complex dtype can require gradients")
        if requires_grad != self.binding.requires_grad:
            self.session.rebind(self, self.name, requires_grad=requires_grad)
        return self

    @property
    def is_leaf(self) -> Any:
        """Whether no recorded operation computed it."""
        return not self.requires_grad or not self.binding.grad_fn

    @property
    def grad_fn(self) -> GradFn | None:
        """The operation that computed it, None for a leaf."""
        return GradFn(self.binding.grad_fn) if self.requires_grad and self.binding.grad_fn else None

    @property
    def grad(self) -> Tensor | None:
        """The gradient collected so far, of its own shape and dtype; None where there is none."""
        return self.session.gradient_of(self)

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is None:
            self.session.lazy_zero_grad([self])
        else:
            self.session.rebind(value, f"grad/{self.name}", requires_grad=False)

    def retain_grad(self) -> None:
        """Makes a computed tensor collect its gradient as leaves do."""
        if not self.requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self.binding.grad_fn:
            self.session.retaining.add(self)

    def backward(
        self,
        gradient: Any = None,
        retain_graph: Any = None,
        create_graph: Any = False,
        inputs: Any = None,
    ) -> None:
        """Adds the gradient of this tensor with respect to each leaf (or only `inputs`) to the leaf's `grad`.

        `gradient`: what to start from, of this tensor's shape; may be left out for one element. The graph is freed
        unless `retain_graph`, which `create_graph` (record the backward pass too) implies.
        """
        if not self.requires_grad:
            raise RuntimeError("element 0 of tensors does not require grad and does not have a grad_fn")
        if inputs is not None and not inputs:
            raise RuntimeError("'inputs' argument to backward() cannot be empty.")
        seed = None if gradient is None else self.session.as_tensor(gradient)
        self._check_seed(seed)
        self.session.lazy_backward(
            self,
            seed,
            [inputs] if isinstance(inputs, Tensor) else list(inputs or ()),
            retain_graph=create_graph if retain_graph is None else retain_graph,
            create_graph=create_graph,
        )

    def _check_seed(self, seed: Tensor | None) -> None:
        shape = self.binding.spec.shape
        if shape is None:
            return  # Not known here: the server checks.
        if seed is None and self.numel() != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        if seed is not None and seed.shape != shape:
            raise RuntimeError(
                f"Mismatch in shape: grad_output[0] has a shape of {list(seed.shape)} and output[0] has a shape of "
                f"{list(shape)}."
            )

    def detach(self) -> Tensor:
        """A tensor that shares its storage and carries no graph."""
        return self.session.detached(self)

    def clone(self) -> Tensor:
        """A new tensor with the same elements, in the graph."""
        return self._op("Identity", self)

    def alias(self) -> Tensor:
        """Another object for the same name."""
        return Tensor(self.session, self.binding)

    @property
    def data(self) -> Tensor:
        """Its array without the graph. In-place methods of it, and assignment to it, change this tensor."""
        view = self.detach() if self.binding.requires_grad else self.alias()
        view._origin = self
        return view

    @data.setter
    def data(self, value: Any) -> None:
        new = self.session.as_tensor(value)
        if self._named_for_others():
            self.session.rebind(new, self.name, requires_grad=self.binding.requires_grad)
        else:
            self.binding = new.detach().binding if new.binding.requires_grad else new.binding

    # ------------------------------------------------------------ in place

    def _named_for_others(self) -> Any:
        """Whether others know it by its name: a leaf by its gradient's, and names that the user gave."""
        leaf = self.binding.requires_grad and not self.binding.grad_fn
        return leaf or not self.name.startswith(OWN_PREFIX)

    def _replace(self, value: Tensor) -> Tensor:
        if self.binding.requires_grad and not self.binding.grad_fn:
            if is_grad_enabled():
                raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
            self.data = value.to(self.dtype)
            return self
        value = value.to(self.dtype)
        if self._origin is not None:
            self._origin.data = value
            self.binding = value.binding
        elif self._named_for_others():
            self.session.rebind(value, self.name)
        else:
            self.binding = value.binding
        return self


def _format(array: Array) -> str:
    """An array as PyTorch prints it."""
    if array.dtype.kind not in "fc" and array.dtype.kind != "V":
        return np.array2string(array, separator=", ", prefix="tensor(")
    finite = array[np.isfinite(array)].astype(np.complex128)
    whole = bool(np.all(finite == np.round(finite)))
    mode: Literal["maxprec_equal", "fixed"] = "maxprec_equal" if whole else "fixed"
    values = array.astype(np.float32) if array.dtype.kind == "V" else array
    return np.array2string(values, precision=4, floatmode=mode, separator=", ", prefix="tensor(")

