"""Element by element: operators, functions of one number, and their in-place spelling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradwire import dtypes
from gradwire.base import TensorBase
from gradwire.dtypes import DType

if TYPE_CHECKING:
    from gradwire.tensor import Tensor

_NUMBER = (bool, int, float, complex)


def common_dtype(operands: list[Any]) -> DType:
    """PyTorch's result type of tensors and Python numbers."""
    tensors = [value for value in operands if isinstance(value, TensorBase)]
    scalars = [value for value in operands if not isinstance(value, TensorBase)]
    if len({tensor.dtype for tensor in tensors}) == 1:
        return dtypes.result_type([tensors[0].dtype], scalars=scalars)
    return dtypes.result_type(
        [tensor.dtype for tensor in tensors if tensor.ndim],
        [tensor.dtype for tensor in tensors if not tensor.ndim],
        scalars,
    )


def unify(like: TensorBase, values: list[Any], *, floating: bool = False) -> list[Tensor]:
    """The values as tensors of one dtype: casts inserted, numbers and arrays made leaves."""
    operands = [
        value if isinstance(value, _NUMBER) and not isinstance(value, np.generic) else like.session.as_tensor(value)
        for value in values
    ]
    dtype = common_dtype(operands)
    if floating and not dtypes.is_floating(dtype):
        dtype = np.dtype(np.float32)
    return [
        value.to(dtype) if isinstance(value, TensorBase) else like.session.tensor(value, dtype) for value in operands
    ]


class Arithmetic(TensorBase):
    """Operators of a tensor."""

    # NumPy leaves `array + tensor` to the tensor.
    __array_priority__ = 1000

    def _binary(self, op_type: str, left: Any, right: Any, *, floating: bool = False) -> Tensor:
        a, b = unify(self, [left, right], floating=floating)
        return self._op(op_type, a, b)

    def __add__(self, other: Any) -> Tensor:
        return self._binary("Add", self, other)

    def __radd__(self, other: Any) -> Tensor:
        return self._binary("Add", other, self)

    def __sub__(self, other: Any) -> Tensor:
        return self._binary("Sub", self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return self._binary("Sub", other, self)

    def __mul__(self, other: Any) -> Tensor:
        return self._binary("Mul", self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return self._binary("Mul", other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return self._binary("Div", self, other, floating=True)

    def __rtruediv__(self, other: Any) -> Tensor:
        return self._binary("Div", other, self, floating=True)

    def __pow__(self, other: Any) -> Tensor:
        return self._binary("Pow", self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return self._binary("Pow", other, self)

    def __mod__(self, other: Any) -> Tensor:
        return remainder(*unify(self, [self, other]))

    def __rmod__(self, other: Any) -> Tensor:
        return remainder(*unify(self, [other, self]))

    def __floordiv__(self, other: Any) -> Tensor:
        return floor_divide(*unify(self, [self, other]))

    def __rfloordiv__(self, other: Any) -> Tensor:
        return floor_divide(*unify(self, [other, self]))

    def __matmul__(self, other: Any) -> Tensor:
        return self._op("MatMul", self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return self._op("MatMul", other, self)

    def __neg__(self) -> Tensor:
        return self._op("Neg", self)

    def __pos__(self) -> Tensor:
        return self._itself()

    def __abs__(self) -> Tensor:
        return self._op("Abs", self)

    def __lt__(self, other: Any) -> Tensor:
        return self._binary("Less", self, other)

    def __le__(self, other: Any) -> Tensor:
        return self._binary("LessOrEqual", self, other)

    def __gt__(self, other: Any) -> Tensor:
        return self._binary("Greater", self, other)

    def __ge__(self, other: Any) -> Tensor:
        return self._binary("GreaterOrEqual", self, other)

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return self._binary("Equal", self, other)

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return self._op("Not", self._binary("Equal", self, other))

    __hash__ = object.__hash__

    def __and__(self, other: Any) -> Tensor:
        return self._logic("And", other)

    def __or__(self, other: Any) -> Tensor:
        return self._logic("Or", other)

    def __xor__(self, other: Any) -> Tensor:
        return self._logic("Xor", other)

    def __invert__(self) -> Tensor:
        return self._op("Not" if self.dtype == np.bool_ else "BitwiseNot", self)

    def _logic(self, op_type: str, other: Any) -> Tensor:
        a, b = unify(self, [self, other])
        return self._op(op_type if a.dtype == np.bool_ else f"Bitwise{op_type}", a, b)

    # ------------------------------------------------------------ functions of one number

    def _float(self) -> Tensor:
        """Itself, integers as float32."""
        return self._itself() if dtypes.is_floating(self.dtype) else self.to(np.float32)

    def abs(self) -> Tensor:
        """|x|"""
        return self._op("Abs", self)

    def sign(self) -> Tensor:
        """-1, 0 or 1"""
        return self._op("Sign", self)

    def exp(self) -> Tensor:
        """e ** x"""
        return self._op("Exp", self._float())

    def log(self) -> Tensor:
        """The natural logarithm."""
        return self._op("Log", self._float())

    def sqrt(self) -> Tensor:
        """The square root."""
        return self._op("Sqrt", self._float())

    def rsqrt(self) -> Tensor:
        """1 / sqrt(x)"""
        return self._op("Reciprocal", self.sqrt())

    def square(self) -> Tensor:
        """x * x"""
        return self._op("Mul", self, self)

    def pow(self, exponent: Any) -> Tensor:
        """x ** exponent"""
        return self._binary("Pow", self, exponent)

    def reciprocal(self) -> Tensor:
        """1 / x"""
        return self._op("Reciprocal", self._float())

    def sin(self) -> Tensor:
        """The sine of radians."""
        return self._op("Sin", self._float())

    def cos(self) -> Tensor:
        """The cosine of radians."""
        return self._op("Cos", self._float())

    def tan(self) -> Tensor:
        """The tangent of radians."""
        return self._op("Tan", self._float())

    def tanh(self) -> Tensor:
        """The hyperbolic tangent."""
        return self._op("Tanh", self._float())

    def sigmoid(self) -> Tensor:
        """1 / (1 + exp(-x))"""
        return self._op("Sigmoid", self._float())

    def erf(self) -> Tensor:
        """The error function."""
        return self._op("Erf", self._float())

    def relu(self) -> Tensor:
        """max(x, 0)"""
        return self._op("Relu", self)

    def floor(self) -> Tensor:
        """The largest whole number that is not above x."""
        return self._op("Floor", self)

    def ceil(self) -> Tensor:
        """The smallest whole number that is not below x."""
        return self._op("Ceil", self)

    def round(self) -> Tensor:
        """The nearest whole number, halves to even."""
        return self._op("Round", self)

    def isnan(self) -> Tensor:
        """Where it is not a number."""
        return self._op("IsNaN", self)

    def isinf(self) -> Tensor:
        """Where it is infinite."""
        return self._op("IsInf", self)

    def clamp(self, min: Any = None, max: Any = None) -> Tensor:
        """Limited to [min, max]; None means no limit."""
        low, high = (
            None if limit is None else self.session.as_tensor(limit, None if isinstance(limit, TensorBase) else self.dtype)
            for limit in (min, max)
        )
        return self._op("Clip", self, low, high)

    def masked_fill(self, mask: Any, value: Any) -> Tensor:
        """`value` where `mask`, itself elsewhere."""
        return where(mask, value, self)

    # ------------------------------------------------------------ in place: a new binding each time

    def _replace(self, value: Tensor) -> Tensor:
        """Makes this object stand for `value`; `Tensor` knows how."""
        raise NotImplementedError

    def add_(self, other: Any, *, alpha: float = 1.0) -> Tensor:
        """Adds alpha * other to what this object stands for."""
        return self._replace(self + (other if alpha == 1.0 else other * alpha))

    def sub_(self, other: Any, *, alpha: float = 1.0) -> Tensor:
        """Subtracts alpha * other from what this object stands for."""
        return self._replace(self - (other if alpha == 1.0 else other * alpha))

    def mul_(self, other: Any) -> Tensor:
        """Multiplies what this object stands for."""
        return self._replace(self * other)

    def div_(self, other: Any) -> Tensor:
        """Divides what this object stands for."""
        return self._replace(self / other)

    def fill_(self, value: float) -> Tensor:
        """Sets every element."""
        filled = self._op("Expand", self.session.tensor(value, self.dtype), self.session.constant(list(self.shape)))
        return self._replace(filled)

    def zero_(self) -> Tensor:
        """Sets every element to 0."""
        return self.fill_(0.0)

    def copy_(self, source: Any) -> Tensor:
        """Takes the values of `source`, cast and broadcast to its own dtype and shape."""
        value = self.session.as_tensor(source).to(self.dtype)
        return self._replace(self._op("Expand", value, self.session.constant(list(self.shape))))

    __iadd__ = add_
    __isub__ = sub_
    __imul__ = mul_
    __itruediv__ = div_


def remainder(a: Tensor, b: Tensor) -> Tensor:
    """a % b with the sign of b, of one dtype."""
    if dtypes.is_floating(a.dtype):
        result: Tensor = a - (a / b).floor() * b
        return result
    return a._op("Mod", a, b)


def floor_divide(a: Tensor, b: Tensor) -> Tensor:
    """The largest whole number not above a / b, of one dtype."""
    if dtypes.is_floating(a.dtype):
        return (a / b).floor()
    return a._op("Div", a - remainder(a, b), b)


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """`a` where `condition`, `b` elsewhere; broadcast."""
    like = next(value for value in (condition, a, b) if isinstance(value, TensorBase))
    return like._op("Where", condition, *unify(like, [a, b]))
