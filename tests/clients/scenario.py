"""Runs scenario.json with the Python client. Usage: scenario.py HOST:PORT SCENARIO"""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

import numpy as np
from google.protobuf import json_format

import gradwire
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb

Array = np.ndarray[Any, np.dtype[Any]]

DTYPES: dict[str, np.dtype[Any]] = {"FLOAT": np.dtype("<f4"), "UINT8": np.dtype("u1")}


def array_of(spec: dict[str, Any], folder: pathlib.Path) -> Array:
    """The array of a `put`."""
    dtype, dims = DTYPES[spec["dtype"]], spec["dims"]
    if "file" in spec:
        return np.frombuffer((folder / spec["file"]).read_bytes(), dtype).reshape(dims)
    fill = spec["fill"]
    i = np.arange(int(np.prod(dims, dtype=np.int64)), dtype=np.int64)
    values: Array = (i * fill["multiplier"] % fill["modulus"] - fill["shift"]) / fill["divisor"]
    return values.astype(dtype).reshape(dims)


def run_request(message: dict[str, Any]) -> pb.RunRequest:
    request: pb.RunRequest = json_format.ParseDict(message, pb.RunRequest())
    return request


def run(session: gradwire.Session, message: dict[str, Any]) -> None:
    request = run_request(message)
    session.run([getattr(command, command.WhichOneof("command")) for command in request.commands])


def fails(session: gradwire.Session, message: dict[str, Any]) -> None:
    try:
        run(session, message)
    except gradwire.GradwireError as error:
        metadata = " ".join(f"{key}={value}" for key, value in sorted(error.metadata.items()))
        print(f"{error.code.value[0]} {error.reason} {metadata} | {error.message}")
    else:
        raise SystemExit("a request that must fail did not")


def execute(session: gradwire.Session, step: dict[str, Any], folder: pathlib.Path) -> None:
    if "put" in step:
        arrays = {spec["name"]: array_of(spec, folder) for spec in step["put"]}
        session.put(arrays, requires_grad=step.get("requires_grad", False))
    elif "run" in step:
        for _ in range(step.get("times", 1)):
            run(session, step["run"])
    elif "print" in step:
        for name, array in zip(step["print"], session.fetch(step["print"]), strict=True):
            for i, value in enumerate(array.ravel()):
                print(f"{name}[{i}] {value:.8e}")
    elif "fails" in step:
        fails(session, step["fails"])
    elif "names" in step:
        names = [tensor.name for tensor in session.list_tensors(step["names"])]
        print(f"names {step['names']}*:", *names)
    elif "sum" in step:
        array = session.fetch_stream([step["sum"]])[step["sum"]]
        print(f"sum {step['sum']} {int(array.view('<u4').sum(dtype=np.uint64))}")
    else:
        raise SystemExit(f"no such step: {step}")


def main() -> None:
    target, path = sys.argv[1], pathlib.Path(sys.argv[2])
    scenario = json.loads(path.read_text(encoding="utf-8"))
    with gradwire.connect(target, timeout=60) as client, client.session(seed=scenario["seed"]) as session:
        for step in scenario["steps"]:
            execute(session, step, path.parent)


if __name__ == "__main__":
    main()
