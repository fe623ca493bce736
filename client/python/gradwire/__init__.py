"""gradwire: tensor compute with gradients on a server.

    with gradwire.connect("127.0.0.1:50051") as client, client.session() as session:
        w = session.tensor([1.0, 2.0], requires_grad=True)
        y = (w ** 2).sum()
        y.backward()
        print(y.item(), w.grad)
"""

from gradwire import commands, errors, functional, optim
from gradwire.autograd import enable_grad, grad, is_grad_enabled, no_grad, set_grad_enabled
from gradwire.client import Client, connect
from gradwire.credentials import Tls
from gradwire.errors import GradwireError
from gradwire.pipeline import Pipeline
from gradwire.program import Program, load_model
from gradwire.session import Session
from gradwire.tensor import Tensor

__version__ = "0.1.0"

__all__ = [
    "Client",
    "GradwireError",
    "Pipeline",
    "Program",
    "Session",
    "Tensor",
    "Tls",
    "commands",
    "connect",
    "enable_grad",
    "errors",
    "functional",
    "grad",
    "is_grad_enabled",
    "load_model",
    "no_grad",
    "optim",
    "set_grad_enabled",
]
