"""ONNX Runtime behind a plain Python gRPC server: one call, from a SequenceProto of named arrays to a TensorProto.

Started as `ort_server.py MODEL OUTPUT THREADS`; prints its address, and serves until it is killed."""

from __future__ import annotations

import sys
from concurrent import futures

import grpc
import onnx
import onnxruntime  # type: ignore[import-untyped]
from onnx import numpy_helper

METHOD = "/ort.Model/Run"
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def inference(model: str | bytes, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class Handler(grpc.GenericRpcHandler):
    def __init__(self, session: onnxruntime.InferenceSession, output: str) -> None:
        self.session, self.output = session, output

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return grpc.unary_unary_rpc_method_handler(self.run) if details.method == METHOD else None

    def run(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        feeds = {one.name: numpy_helper.to_array(one) for one in onnx.SequenceProto.FromString(request).tensor_values}
        (result,) = self.session.run([self.output], feeds)
        return bytes(numpy_helper.from_array(result).SerializeToString())


def main() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2), options=OPTIONS)
    server.add_generic_rpc_handlers((Handler(inference(sys.argv[1], int(sys.argv[3])), sys.argv[2]),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
