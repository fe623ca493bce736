"""gradwire: tensor compute with gradients on a server.

    with gradwire.connect("127.0.0.1:50051") as client, client.session() as session:
        w = session.tensor([1.0, 2.0], requires_grad=True)
        y = (w ** 2).sum()
        y.backward()
        print(y.item(), w.grad)
"""

from gradwire import commands, errors, functional, optim
from gradwire.autograd import (
    checkpoint,
    detect_anomaly,
    enable_grad,
    grad,
    hvp,
    is_anomaly_enabled,
    is_grad_enabled,
    jvp,
    no_grad,
    set_detect_anomaly,
    set_grad_enabled,
    vjp,
)
from gradwire.client import Client, connect
from gradwire.credentials import Tls
from gradwire.errors import GradwireError
from gradwire.pipeline import Pipeline
from gradwire.profile import Profile
from gradwire.program import Program, load_model
from gradwire.session import Session
from gradwire.shared import SharedMemory
from gradwire.tensor import Tensor

__version__ = "0.1.0"

__all__ = [
    "Client",
    "GradwireError",
    "Pipeline",
    "Profile",
    "Program",
    "Session",
    "SharedMemory",
    "Tensor",
    "Tls",
    "checkpoint",
    "commands",
    "connect",
    "detect_anomaly",
    "enable_grad",
    "errors",
    "functional",
    "grad",
    "hvp",
    "is_anomaly_enabled",
    "is_grad_enabled",
    "jvp",
    "load_model",
    "no_grad",
    "optim",
    "set_detect_anomaly",
    "set_grad_enabled",
    "vjp",
]
