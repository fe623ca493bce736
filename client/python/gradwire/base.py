"""The part of a tensor that the others build on: its session, its name, and what is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from gradwire import dtypes, errors
from gradwire.binding import Binding
from gradwire.dtypes import DType
from gradwire.infer import Shape

if TYPE_CHECKING:
    from gradwire.session import Session
    from gradwire.tensor import Tensor


class TensorBase:
    """A binding in a session."""

    def __init__(self, session: Session, binding: Binding) -> None:
        self.session = session
        self.binding = binding

    @property
    def name(self) -> str:
        """Its name in the session."""
        return self.binding.name

    def checked(self) -> Tensor:
        """Itself. Raises NeverComputed where the operation behind it failed or was given up."""
        if self.binding.error is not None:
            raise errors.NeverComputed(
                f"this tensor was never computed, because of an earlier error: {self.binding.error}"
            ) from self.binding.error
        return self._itself()

    def _resolve(self) -> None:
        """Learns dtype and shape, from the server where they cannot be known here."""
        spec = self.binding.spec
        if spec.dtype is None or spec.shape is None:
            self.checked()
            self.session.flush()
        if self.binding.spec.dtype is None or self.binding.spec.shape is None:
            self.session.named(self.session.describe_tensor(self.name))

    @property
    def shape(self) -> Shape:
        """Its extents; a round trip where they depend on data that only the server has seen."""
        if self.binding.spec.shape is None:
            self._resolve()
        return self.binding.spec.shape or ()

    @property
    def dtype(self) -> DType:
        """NumPy's dtype; `ml_dtypes` has those that NumPy lacks."""
        if self.binding.spec.dtype is None:
            self._resolve()
        assert self.binding.spec.dtype is not None
        return self.binding.spec.dtype

    @property
    def ndim(self) -> int:
        """How many dimensions it has."""
        return len(self.shape)

    def dim(self) -> int:
        """How many dimensions it has."""
        return len(self.shape)

    def numel(self) -> int:
        """How many elements it has."""
        count = 1
        for extent in self.shape:
            count *= extent
        return count

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the extent of one dimension."""
        return self.shape if dim is None else self.shape[dim]

    def is_floating_point(self) -> bool:
        """Whether its dtype is a real floating one."""
        return dtypes.category(self.dtype) == dtypes.FLOAT

    def is_complex(self) -> bool:
        """Whether its dtype is a complex one."""
        return dtypes.category(self.dtype) == dtypes.COMPLEX

    @property
    def device(self) -> str:
        """The session's device: "cpu" or "cuda:N"."""
        return self.session.device

    def local_nbytes(self) -> int | None:
        """Bytes of its array on the wire, None where that is not known here."""
        spec = self.binding.spec
        return None if spec.dtype is None or spec.shape is None else dtypes.nbytes(spec.dtype, spec.shape)

    def resolved_nbytes(self) -> int:
        """Bytes of its array on the wire."""
        self._resolve()
        return self.local_nbytes() or 0

    def _op(self, op_type: str, *inputs: Any, **attributes: Any) -> Tensor:
        """An operator of one output."""
        result: Tensor = self.session.op(op_type, inputs, attributes)
        return result

    def _axes(self, dims: int | tuple[int, ...] | list[int] | None) -> Tensor | None:
        """Axes as an operator's input."""
        if dims is None:
            return None
        return self.session.constant([dims] if isinstance(dims, int) else list(dims))

    def to(self, target: npt.DTypeLike | str) -> Tensor:
        """Itself as another dtype, or on the session's device; `Session.move` moves all to another."""
        if isinstance(target, str) and target.split(":")[0] in ("cpu", "cuda"):
            if target != self.device and f"{target}:0" != self.device:
                devices = ", ".join(device.name for device in self.session.client.server_info().devices)
                raise errors.DeviceNotFound(
                    f"the session is on {self.device}, not on {target}: Session.move moves it; the server has: {devices}"
                )
            return self._itself()
        dtype = dtypes.from_code(dtypes.to_code(target))
        return self._itself() if self.dtype == dtype else self._op("Cast", self, to=dtype)

    def _itself(self) -> Tensor:
        return self  # type: ignore[return-value]
