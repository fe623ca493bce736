"""Optimizers that run on the server: `step()` is one command of the batch that holds the whole training step."""

from __future__ import annotations

from collections.abc import Iterable

from gradwire import commands
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire.commands import Optimizer as Rule
from gradwire.tensor import Tensor


class Optimizer:
    """Moves parameters (leaves of one session that require grad) along their gradients.

    `clip_value` limits each element of a gradient, `clip_norm` the 2-norm of all gradients together; 0 means not.
    `lr` may be changed between steps. A parameter without a gradient is skipped.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float, weight_decay: float, clip_value: float = 0.0, clip_norm: float = 0.0
    ) -> None:
        self.params = list(params)
        if not self.params:
            raise ValueError("optimizer got an empty parameter list")
        for param in self.params:
            if not param.is_leaf:
                raise ValueError("can't optimize a non-leaf Tensor")
        self.lr = lr
        self.weight_decay = weight_decay
        self.clip_value = clip_value
        self.clip_norm = clip_norm

    def rule(self) -> Rule:
        """The update rule as a message."""
        raise NotImplementedError

    def step(self) -> None:
        """Moves the parameters."""
        request = commands.step(self.rule(), self.params, clip_value=self.clip_value, clip_norm=self.clip_norm)
        self.params[0].session.lazy_step(request, self.params)

    def zero_grad(self) -> None:
        """Drops the parameters' gradients: `grad` is None afterwards."""
        self.params[0].session.lazy_zero_grad(self.params)


class SGD(Optimizer):
    """Gradient descent, with momentum (Nesterov's too), dampening and L2 weight decay, as in PyTorch."""

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        clip_value: float = 0.0,
        clip_norm: float = 0.0,
    ) -> None:
        super().__init__(params, lr, weight_decay, clip_value, clip_norm)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        self.momentum, self.dampening, self.nesterov = momentum, dampening, nesterov

    def rule(self) -> Rule:
        if self.momentum == 0.0:
            return pb.Sgd(lr=self.lr, weight_decay=self.weight_decay)
        return pb.Momentum(
            lr=self.lr,
            momentum=self.momentum,
            dampening=self.dampening,
            weight_decay=self.weight_decay,
            nesterov=self.nesterov,
        )


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015), with L2 weight decay."""

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        clip_value: float = 0.0,
        clip_norm: float = 0.0,
    ) -> None:
        super().__init__(params, lr, weight_decay, clip_value, clip_norm)
        self.betas, self.eps = betas, eps

    def rule(self) -> Rule:
        beta1, beta2 = self.betas
        return pb.Adam(lr=self.lr, beta1=beta1, beta2=beta2, epsilon=self.eps, weight_decay=self.weight_decay)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019)."""

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        *,
        clip_value: float = 0.0,
        clip_norm: float = 0.0,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, clip_value=clip_value, clip_norm=clip_norm)

    def rule(self) -> Rule:
        beta1, beta2 = self.betas
        return pb.AdamW(lr=self.lr, beta1=beta1, beta2=beta2, epsilon=self.eps, weight_decay=self.weight_decay)


class Adagrad(Optimizer):
    """Adagrad (Duchi, Hazan and Singer, 2011), with learning-rate and weight decay."""

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        eps: float = 1e-10,
        *,
        clip_value: float = 0.0,
        clip_norm: float = 0.0,
    ) -> None:
        super().__init__(params, lr, weight_decay, clip_value, clip_norm)
        self.lr_decay, self.eps = lr_decay, eps

    def rule(self) -> Rule:
        return pb.Adagrad(lr=self.lr, lr_decay=self.lr_decay, epsilon=self.eps, weight_decay=self.weight_decay)
