// Fits a line, y = w * x + b, with nothing but the generated stub. Usage: LineFit HOST:PORT

import com.google.protobuf.ByteString;
import gradwire.v1.GradwireGrpc;
import gradwire.v1.GradwireOuterClass.*;
import gradwire.v1.Onnx.*;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;

public class LineFit {
  static TensorProto tensor(String name, List<Long> dims, float... values) {
    ByteBuffer bytes = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
    for (float value : values) bytes.putFloat(value);
    return TensorProto.newBuilder().setName(name).setDataType(TensorProto.DataType.FLOAT_VALUE)
        .addAllDims(dims).setRawData(ByteString.copyFrom(bytes.array())).build();
  }

  static NodeProto node(String op, String output, String... inputs) {
    return NodeProto.newBuilder().setOpType(op).addOutput(output).addAllInput(List.of(inputs)).build();
  }

  public static void main(String[] arguments) {
    ManagedChannel channel = ManagedChannelBuilder.forTarget(arguments[0]).usePlaintext().build();
    GradwireGrpc.GradwireBlockingStub server = GradwireGrpc.newBlockingStub(channel);
    String session = server.openSession(OpenSessionRequest.getDefaultInstance()).getSessionId();
    float[] x = new float[32];
    float[] y = new float[32];
    for (int i = 0; i < 32; i++) y[i] = 3 * (x[i] = i / 32f) + 0.5f;
    server.put(PutRequest.newBuilder().setSessionId(session)
        .addTensors(tensor("x", List.of(32L), x)).addTensors(tensor("y", List.of(32L), y)).build());
    server.put(PutRequest.newBuilder().setSessionId(session).setRequiresGrad(true)
        .addTensors(tensor("w", List.of(), 0)).addTensors(tensor("b", List.of(), 0)).build());
    RunRequest train = RunRequest.newBuilder().setSessionId(session)
        .addCommands(Command.newBuilder().setForward(ForwardRequest.newBuilder()
            .addNodes(node("Mul", "wx", "w", "x")).addNodes(node("Add", "line", "wx", "b"))
            .addNodes(node("Sub", "error", "line", "y")).addNodes(node("Mul", "square", "error", "error"))
            .addNodes(node("ReduceMean", "loss", "square")).addOutputs("loss")))
        .addCommands(Command.newBuilder().setBackward(BackwardRequest.newBuilder().addRoots("loss")))
        .addCommands(Command.newBuilder().setStep(StepRequest.newBuilder()
            .setAdam(Adam.newBuilder().setLr(0.1)).setZeroGrad(true))).build();
    for (int i = 0; i < 200; i++) server.run(train);
    FetchRequest fetch = FetchRequest.newBuilder().setSessionId(session).addNames("w").addNames("b").build();
    for (TensorProto tensor : server.fetch(fetch).getTensorsList()) {
      ByteBuffer bytes = tensor.getRawData().asReadOnlyByteBuffer().order(ByteOrder.LITTLE_ENDIAN);
      System.out.printf("%s %.4f%n", tensor.getName(), bytes.getFloat());
    }
    server.closeSession(CloseSessionRequest.newBuilder().setSessionId(session).build());
    channel.shutdown();
  }
}
