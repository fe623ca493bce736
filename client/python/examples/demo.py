"""Trains two models on scikit-learn's digits, on a server that it starts on this machine and stops again.

A multilayer perceptron that the client builds, and a convolutional network that arrives as an ONNX file. Each training
step is one round trip. One gradient is checked against central differences, the loss curves go to a PNG file, and the
trained weights come back as plain arrays.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import onnx
from make_cnn import make_cnn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

import gradwire
from gradwire import functional as F
from gradwire.testing import Server

BATCH = 64
MLP_ACCURACY = 0.97
CNN_ACCURACY = 0.98

Array = np.ndarray[Any, Any]
Model = Callable[[Any], gradwire.Tensor]


@dataclass
class Digits:
    """Images [n, 1, 8, 8] in [0, 1] with their classes [n], for training and held out."""

    images: Array
    classes: Array
    test_images: Array
    test_classes: Array


def load() -> Digits:
    pixels, classes = load_digits(return_X_y=True)
    images = (pixels / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    train, test, train_classes, test_classes = train_test_split(
        images, classes.astype(np.int64), test_size=0.2, random_state=0, stratify=classes
    )
    return Digits(train, train_classes, test, test_classes)


def batches(digits: Digits, random: np.random.Generator) -> Iterator[tuple[Array, Array]]:
    """One epoch, each image moved by up to one pixel."""
    padded = np.pad(digits.images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    order = random.permutation(len(padded))
    for start in range(0, len(order) - BATCH + 1, BATCH):
        picked = order[start : start + BATCH]
        shifts = random.choice([0, 1, 1, 1, 2], size=(BATCH, 2))
        moved = [padded[i, :, y : y + 8, x : x + 8] for i, (y, x) in zip(picked, shifts, strict=True)]
        yield np.stack(moved), digits.classes[picked]


def train(name: str, model: Model, params: list[gradwire.Tensor], digits: Digits, epochs: int) -> list[float]:
    """Trains `params` with Adam; the loss of each step. One round trip a step, which is checked."""
    client = params[0].session.client
    optimizer = gradwire.optim.Adam(params, lr=3e-3)
    random = np.random.default_rng(0)
    losses: list[float] = []
    params[0].session.flush()
    before = client.rpc_count
    total = epochs * (len(digits.images) // BATCH)
    with tqdm(total=total, desc=name, unit="step") as bar:
        for epoch in range(epochs):
            optimizer.lr = 3e-3 * 0.5 * (1 + np.cos(np.pi * epoch / epochs))
            for images, classes in batches(digits, random):
                loss = F.cross_entropy(model(images), classes)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                losses.append(loss.item())
                bar.update()
            bar.set_postfix(loss=f"{losses[-1]:.4f}")
    trips = client.rpc_count - before
    print(f"{name}: {total} steps in {trips} round trips, loss {losses[0]:.4f} -> {np.mean(losses[-20:]):.4f}")
    if trips != total:
        sys.exit(f"{name}: expected one round trip a step")
    return losses


def accuracy(name: str, model: Model, digits: Digits, wanted: float) -> float:
    """The share of held-out images whose class is found; ends the demo if it is too small."""
    with gradwire.no_grad():
        found = (model(digits.test_images).argmax(1) == digits.test_classes).float().mean().item()
    print(f"{name}: held-out accuracy {found:.4f} (wanted: at least {wanted})")
    if found < wanted:
        sys.exit(f"{name}: the accuracy is too low")
    return float(found)


def make_mlp(session: gradwire.Session) -> tuple[Model, list[gradwire.Tensor]]:
    """64 -> 128 -> 64 -> 10, with He's initial weights."""
    random = np.random.default_rng(1)
    params = []
    for fan_in, fan_out in ((64, 128), (128, 64), (64, 10)):
        weight = random.normal(scale=np.sqrt(2 / fan_in), size=(fan_out, fan_in))
        params.append(session.tensor(weight, np.float32, requires_grad=True))
        params.append(session.zeros(fan_out, requires_grad=True))

    def mlp(images: Any) -> gradwire.Tensor:
        return forward_mlp(np.reshape(images, (len(images), -1)), params)

    return mlp, params


def forward_mlp(x: Any, params: list[gradwire.Tensor]) -> gradwire.Tensor:
    x = F.linear(x, params[0], params[1]).relu()
    x = F.linear(x, params[2], params[3]).relu()
    return F.linear(x, params[4], params[5])


def check_gradient(params: list[gradwire.Tensor], digits: Digits) -> None:
    """Compares the gradient of one weight with (f(w + h) - f(w - h)) / 2h, all on the server in float64."""
    session = params[0].session
    x, y = digits.test_images[:32].reshape(32, -1).astype(np.float64), digits.test_classes[:32]
    weights = [session.tensor(p.detach().numpy(), np.float64, requires_grad=True) for p in params]
    loss = F.cross_entropy(forward_mlp(x, weights), y)
    (gradient,) = gradwire.grad(loss, weights[0])
    row, column = np.unravel_index(np.abs(gradient.numpy()).argmax(), weights[0].shape)
    h, sides = 1e-6, []
    for sign in (1, -1):
        moved = weights[0].detach()
        moved[row, column] = moved[row, column] + sign * h
        sides.append(F.cross_entropy(forward_mlp(x, [moved, *weights[1:]]), y))
    difference = (sides[0] - sides[1]).item() / (2 * h)
    value = gradient[row, column].item()
    error = abs(value - difference) / abs(difference)
    print(f"gradient of weight [{row}, {column}]: {value:.9f}, by central differences {difference:.9f} ({error:.1e} apart)")
    if not error < 1e-5:
        sys.exit("the gradient is wrong")


def plot(curves: dict[str, list[float]], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, losses in curves.items():
        axes.plot(losses, label=name, linewidth=1)
    axes.set(xlabel="step", ylabel="cross-entropy", yscale="log", title="Training on scikit-learn's digits")
    axes.legend()
    figure.savefig(path, dpi=120)
    print(f"loss curves: {path}")


def run(target: str, out: Path) -> None:
    digits = load()
    with gradwire.connect(target) as client, client.session(seed=0) as session:
        mlp, mlp_params = make_mlp(session)
        curves = {"MLP": train("MLP", mlp, mlp_params, digits, epochs=30)}
        accuracy("MLP", mlp, digits, MLP_ACCURACY)
        check_gradient(mlp_params, digits)

        onnx.save(make_cnn(), out / "cnn.onnx")
        cnn = gradwire.load_model(session, out / "cnn.onnx", name="cnn")
        curves["CNN"] = train("CNN", cnn, cnn.parameters(), digits, epochs=25)
        accuracy("CNN", cnn, digits, CNN_ACCURACY)

        plot(curves, out / "loss.png")
        for name, tensor in cnn.named_parameters().items():
            array = tensor.detach().numpy()
            print(f"{name}: {type(array).__name__} of {array.dtype} {list(array.shape)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", type=Path, required=True, help="the server's binary")
    parser.add_argument("--out", type=Path, required=True, help="where the ONNX file and the picture go")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with Server(arguments.server) as server:
        print(f"server {server.pid} listens on {server.target}")
        run(server.target, arguments.out)
    print("server stopped")


if __name__ == "__main__":
    main()
