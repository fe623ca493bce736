"""Requests as messages, one function a verb: what `Session`'s verbs send, and what `Session.run` and a pipeline take.

Shapes, units and errors of each verb are those of the message that it makes, in `gradwire.proto`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from gradwire import dtypes, wire
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire._proto.gradwire.v1 import onnx_pb2


class Named(Protocol):
    """Anything with a name in a session: a `Tensor`."""

    @property
    def name(self) -> str: ...


Name = str | Named
Optimizer = pb.Sgd | pb.Momentum | pb.Adam | pb.AdamW | pb.Adagrad
Request = (
    pb.PutRequest
    | pb.FetchRequest
    | pb.ForwardRequest
    | pb.BackwardRequest
    | pb.GradientsRequest
    | pb.DetachRequest
    | pb.CopyRequest
    | pb.DeleteRequest
    | pb.StepRequest
    | pb.ZeroGradRequest
    | pb.JvpRequest
    | pb.HvpRequest
    | wire.Feeding
)


def name_of(value: Name) -> str:
    """The session name of a tensor, or the name itself."""
    return value if isinstance(value, str) else value.name


def names_of(values: Iterable[Name]) -> list[str]:
    """The session names of several."""
    return [name_of(value) for value in values]


# ---------------------------------------------------------------- nodes


def attribute(name: str, value: Any) -> onnx_pb2.AttributeProto:
    """An attribute: int, float, str, bytes, array, graph, or a sequence of one of the first three. A dtype gives its code."""
    kinds = onnx_pb2.AttributeProto
    proto = onnx_pb2.AttributeProto(name=name)
    if isinstance(value, (bool, int, np.integer)):
        proto.type, proto.i = kinds.INT, int(value)
    elif isinstance(value, (float, np.floating)):
        proto.type, proto.f = kinds.FLOAT, float(value)
    elif isinstance(value, (str, bytes)):
        proto.type, proto.s = kinds.STRING, value.encode() if isinstance(value, str) else value
    elif isinstance(value, (np.dtype, type)):
        proto.type, proto.i = kinds.INT, dtypes.to_code(value)
    elif isinstance(value, np.ndarray):
        proto.type = kinds.TENSOR
        proto.t.CopyFrom(dtypes.to_proto(value))
    elif isinstance(value, onnx_pb2.GraphProto):
        proto.type = kinds.GRAPH
        proto.g.CopyFrom(value)
    else:
        _list_attribute(proto, list(value))
    return proto


def _list_attribute(proto: onnx_pb2.AttributeProto, values: list[Any]) -> None:
    kinds = onnx_pb2.AttributeProto
    if all(isinstance(v, (int, np.integer)) for v in values):
        proto.type = kinds.INTS
        proto.ints.extend(int(v) for v in values)
    elif all(isinstance(v, (int, float, np.floating)) for v in values):
        proto.type = kinds.FLOATS
        proto.floats.extend(float(v) for v in values)
    elif all(isinstance(v, (str, bytes)) for v in values):
        proto.type = kinds.STRINGS
        proto.strings.extend(v.encode() if isinstance(v, str) else v for v in values)
    else:
        raise TypeError(f"attribute '{proto.name}': a list of {type(values[0]).__name__} is not an ONNX attribute")


def node(
    op_type: str,
    inputs: Sequence[Name | None],
    outputs: Sequence[str],
    attributes: Mapping[str, Any] | None = None,
    *,
    name: str = "",
    domain: str = "",
) -> onnx_pb2.NodeProto:
    """One operator call. None among the inputs omits an optional one; attributes that are None are left out."""
    return onnx_pb2.NodeProto(
        op_type=op_type,
        input=["" if value is None else name_of(value) for value in inputs],
        output=outputs,
        attribute=[attribute(key, value) for key, value in (attributes or {}).items() if value is not None],
        name=name or None,
        domain=domain or None,
    )


def free_names(node: onnx_pb2.NodeProto) -> set[str]:
    """Names that graphs among the node's attributes read from outside."""
    names: set[str] = set()
    for value in node.attribute:
        for graph in ([value.g] if value.HasField("g") else []) + list(value.graphs):
            made = {item.name for item in graph.input} | {item.name for item in graph.initializer}
            for inner in graph.node:
                names |= (set(inner.input) | free_names(inner)) - made - {""}
                made.update(inner.output)
    return names


def _own_node(value: Any) -> onnx_pb2.NodeProto:
    """A NodeProto of ours from one of any ONNX library's."""
    return value if isinstance(value, onnx_pb2.NodeProto) else onnx_pb2.NodeProto.FromString(value.SerializeToString())


def opset_ids(versions: Mapping[str, int] | None) -> list[onnx_pb2.OperatorSetIdProto]:
    """{"": 21} as messages."""
    return [onnx_pb2.OperatorSetIdProto(domain=domain, version=v) for domain, v in (versions or {}).items()]


# ---------------------------------------------------------------- commands


def put(tensors: Mapping[str, Any], *, requires_grad: bool = False) -> pb.PutRequest:
    """Binds each name to its array."""
    protos = [dtypes.to_proto(dtypes.as_array(array), name) for name, array in tensors.items()]
    return pb.PutRequest(tensors=protos, requires_grad=requires_grad)


def fetch(names: Iterable[Name]) -> pb.FetchRequest:
    """Returns arrays."""
    return pb.FetchRequest(names=names_of(names))


def forward(
    nodes: Iterable[Any] = (),
    *,
    program: str = "",
    bindings: Mapping[str, Name] | None = None,
    feeds: Mapping[str, Any] | None = None,
    outputs: Iterable[Name] = (),
    fetch: Iterable[Name] = (),
    no_grad: bool = False,
    opset: Mapping[str, int] | None = None,
    announce: Iterable[Name] = (),
    checkpoint: int = 0,
    detect_anomaly: bool = False,
    profile: bool = False,
) -> pb.ForwardRequest:
    """Runs nodes (of this package or of `onnx`), or a program.

    `feeds`: arrays; a list of arrays, or an empty one, is a sequence, and None an optional without an element.
    """
    given = dict(feeds or {})
    sequences = {name: value for name, value in given.items() if dtypes.is_sequence(value)}
    arrays = {name: value for name, value in given.items() if value is not None and name not in sequences}
    return pb.ForwardRequest(
        nodes=[_own_node(n) for n in nodes],
        program=program,
        bindings={key: name_of(value) for key, value in (bindings or {}).items()},
        feeds=[dtypes.to_proto(dtypes.as_array(array), name) for name, array in arrays.items()],
        sequence_feeds=[dtypes.to_sequence(value, name) for name, value in sequences.items()],
        optional_feeds=[onnx_pb2.OptionalProto(name=name) for name, value in given.items() if value is None],
        outputs=names_of(outputs),
        fetch=names_of(fetch),
        no_grad=no_grad,
        opset_import=opset_ids(opset),
        announce=names_of(announce),
        checkpoint=checkpoint,
        detect_anomaly=detect_anomaly,
        profile=profile,
    )


def feeding(request: pb.ForwardRequest, feeds: Mapping[str, Any]) -> wire.Feeding:
    """A Forward, and more arrays that it is fed with, which go to the network without a copy in a message.

    Its message may be used for the next call, too, with other arrays.
    """
    return wire.Feeding(request, {name: dtypes.as_array(array) for name, array in feeds.items()})


def _seeds(seeds: Mapping[str, Any] | None) -> list[pb.Seed]:
    result = []
    for root, value in (seeds or {}).items():
        if isinstance(value, str) or hasattr(value, "name"):
            result.append(pb.Seed(root=root, tensor=name_of(value)))
        else:
            result.append(pb.Seed(root=root, value=dtypes.to_proto(dtypes.as_array(value))))
    return result


def backward(
    roots: Iterable[Name],
    *,
    seeds: Mapping[str, Any] | None = None,
    retain_graph: bool = False,
    create_graph: bool = False,
    inputs: Iterable[Name] = (),
    retain_grad: Iterable[Name] = (),
    detect_anomaly: bool = False,
    profile: bool = False,
) -> pb.BackwardRequest:
    """Accumulates gradients; `seeds` maps a root's name to an array or to the name of a tensor."""
    return pb.BackwardRequest(
        roots=names_of(roots),
        seeds=_seeds(seeds),
        retain_graph=retain_graph,
        create_graph=create_graph,
        inputs=names_of(inputs),
        retain_grad=names_of(retain_grad),
        detect_anomaly=detect_anomaly,
        profile=profile,
    )


def gradients(
    outputs: Iterable[Name],
    inputs: Iterable[Name],
    *,
    names: Iterable[Name] = (),
    seeds: Mapping[str, Any] | None = None,
    retain_graph: bool = False,
    create_graph: bool = False,
    allow_unused: bool = False,
    detect_anomaly: bool = False,
    profile: bool = False,
) -> pb.GradientsRequest:
    """Binds the gradient of the outputs with respect to each input."""
    return pb.GradientsRequest(
        outputs=names_of(outputs),
        inputs=names_of(inputs),
        names=names_of(names),
        seeds=_seeds(seeds),
        retain_graph=retain_graph,
        create_graph=create_graph,
        allow_unused=allow_unused,
        detect_anomaly=detect_anomaly,
        profile=profile,
    )


def _tangents(tangents: Mapping[str, Any]) -> list[pb.Tangent]:
    result = []
    for name, value in tangents.items():
        if isinstance(value, str) or hasattr(value, "name"):
            result.append(pb.Tangent(input=name, tensor=name_of(value)))
        else:
            result.append(pb.Tangent(input=name, value=dtypes.to_proto(dtypes.as_array(value))))
    return result


def jvp(
    outputs: Iterable[Name],
    tangents: Mapping[str, Any],
    *,
    names: Iterable[Name] = (),
    fetch: bool = False,
    retain_graph: bool = False,
    create_graph: bool = False,
    detect_anomaly: bool = False,
    profile: bool = False,
) -> pb.JvpRequest:
    """Binds or returns how the outputs move along `tangents`, arrays or names of tensors by the name of an input."""
    return pb.JvpRequest(
        outputs=names_of(outputs),
        tangents=_tangents(tangents),
        names=names_of(names),
        fetch=fetch,
        retain_graph=retain_graph,
        create_graph=create_graph,
        detect_anomaly=detect_anomaly,
        profile=profile,
    )


def hvp(
    output: Name,
    inputs: Iterable[Name],
    vectors: Mapping[str, Any],
    *,
    names: Iterable[Name] = (),
    fetch: bool = False,
    retain_graph: bool = False,
    create_graph: bool = False,
    detect_anomaly: bool = False,
    profile: bool = False,
) -> pb.HvpRequest:
    """Binds or returns the Hessian of `output` times `vectors`, arrays or names of tensors by the name of an input."""
    return pb.HvpRequest(
        output=name_of(output),
        inputs=names_of(inputs),
        vectors=_tangents(vectors),
        names=names_of(names),
        fetch=fetch,
        retain_graph=retain_graph,
        create_graph=create_graph,
        detect_anomaly=detect_anomaly,
        profile=profile,
    )


def detach(source: Name, to: Name | None = None, *, requires_grad: bool = False) -> pb.DetachRequest:
    """Binds `to` (or the source's own name) to a leaf that shares the source's storage."""
    origin = name_of(source)
    fields: dict[str, Any] = {"from": origin, "to": name_of(to) if to is not None else origin}
    return pb.DetachRequest(requires_grad=requires_grad, **fields)


def copy(source: Name, to: Name) -> pb.CopyRequest:
    """Binds `to` to the very tensor of `source`."""
    fields: dict[str, Any] = {"from": name_of(source), "to": name_of(to)}
    return pb.CopyRequest(**fields)


def delete(names: Iterable[Name], *, missing_ok: bool = False) -> pb.DeleteRequest:
    """Unbinds names."""
    return pb.DeleteRequest(names=names_of(names), missing_ok=missing_ok)


def step(
    optimizer: Optimizer,
    parameters: Iterable[Name] = (),
    *,
    clip_value: float = 0.0,
    clip_norm: float = 0.0,
    zero_grad: bool = False,
    profile: bool = False,
) -> pb.StepRequest:
    """Moves parameters along their gradients."""
    fields: dict[str, Any] = {type(optimizer).__name__.lower(): optimizer}
    return pb.StepRequest(
        parameters=names_of(parameters),
        clip_value=clip_value,
        clip_norm=clip_norm,
        zero_grad=zero_grad,
        profile=profile,
        **fields,
    )


def zero_grad(parameters: Iterable[Name] = ()) -> pb.ZeroGradRequest:
    """Unbinds gradients."""
    return pb.ZeroGradRequest(parameters=names_of(parameters))


def set_command(command: pb.Command, request: Request) -> None:
    """Makes `command` of a Run or a Pipeline a copy of the request."""
    slot = getattr(command, wire.COMMAND_FIELDS[type(wire.message_of(request)).__name__].name)
    slot.SetInParent()
    slot.ParseFromString(wire.serialize(request))


def fetched(request: pb.ForwardRequest | pb.FetchRequest, response: Any) -> list[Any]:
    """What a Forward or Fetch was asked for, in order: arrays, lists of arrays for sequences, None for empty optionals."""
    if isinstance(request, pb.FetchRequest):
        names, found = request.names, (response.tensors, response.sequences, response.optionals)
    else:
        names, found = request.fetch, (response.fetched, response.fetched_sequences, response.fetched_optionals)
    if not found[1] and not found[2]:  # names may repeat
        return [dtypes.from_proto(tensor) for tensor in found[0]]
    by_name = dtypes.items(*found)
    return [by_name[name] for name in names]


def result_of(result: pb.CommandResult) -> Any:
    """The response inside a CommandResult."""
    kind = result.WhichOneof("result")
    return getattr(result, kind) if kind else None
