package gradwire_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"reflect"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"gradwire"
	"gradwire/pb"
)

// The server to test against.
func target() string {
	if value := os.Getenv("GRADWIRE_TARGET"); value != "" {
		return value
	}
	return "127.0.0.1:50051"
}

func open(t *testing.T) (context.Context, *gradwire.Client, *gradwire.Session) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	client, err := gradwire.Dial(target())
	must(t, err)
	session, err := client.OpenSession(ctx, gradwire.SessionOptions{Lease: time.Minute})
	must(t, err)
	t.Cleanup(func() {
		_ = session.Close(ctx) // Some tests close it.
		must(t, client.Close())
	})
	return ctx, client, session
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func isError(t *testing.T, err error, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

func floats(ctx context.Context, t *testing.T, session *gradwire.Session, name string) []float32 {
	t.Helper()
	arrays, err := session.FetchArrays(ctx, name)
	must(t, err)
	values, err := gradwire.Values[float32](arrays[0])
	must(t, err)
	return values
}

func putFloats(ctx context.Context, t *testing.T, session *gradwire.Session, name string, grad bool, values ...float32) {
	t.Helper()
	_, err := session.PutArrays(ctx, grad, gradwire.NewArray(name, []int64{int64(len(values))}, values))
	must(t, err)
}

func equal(t *testing.T, got, want interface{}) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func forward(nodes ...*pb.NodeProto) *pb.ForwardRequest { return &pb.ForwardRequest{Nodes: nodes} }

func TestArraysOfAnyShapeComeBack(t *testing.T) {
	ctx, _, session := open(t)
	infos, err := session.PutArrays(ctx, false,
		gradwire.NewArray("matrix", []int64{2, 3}, []int64{1, -2, 3, -4, 5, -6}),
		gradwire.NewArray("scalar", nil, []float64{2.5}),
		gradwire.NewArray("empty", []int64{0, 4}, []float32{}),
		gradwire.NewArray("truth", []int64{2}, []bool{true, false}))
	must(t, err)
	equal(t, len(infos), 4)
	arrays, err := session.FetchArrays(ctx, "empty", "matrix", "truth", "scalar")
	must(t, err)
	equal(t, arrays[0].Dims, []int64{0, 4})
	matrix, err := gradwire.Values[int64](arrays[1])
	must(t, err)
	equal(t, matrix, []int64{1, -2, 3, -4, 5, -6})
	truth, err := gradwire.Values[bool](arrays[2])
	must(t, err)
	equal(t, truth, []bool{true, false})
	equal(t, len(arrays[3].Dims), 0)
	_, err = gradwire.Values[float32](arrays[3])
	isError(t, err, gradwire.ErrDtypeMismatch)
}

func TestManyChunks(t *testing.T) {
	ctx, _, session := open(t)
	sent := make([]byte, 40<<20+7)
	for i := range sent {
		sent[i] = byte(i*2654435761 + i>>13)
	}
	_, err := session.PutArrays(ctx, false, gradwire.NewArray("big", []int64{int64(len(sent))}, sent))
	must(t, err)
	arrays, err := session.FetchArrays(ctx, "big")
	must(t, err)
	if !bytes.Equal(arrays[0].Data, sent) {
		t.Fatal("the bytes differ")
	}
}

func TestAnArrayThatDoesNotFitIsRefusedHere(t *testing.T) {
	ctx, _, session := open(t)
	for _, dims := range [][]int64{{2, 2}, {-3}, {1 << 62, 8}} {
		_, err := session.PutArrays(ctx, false, gradwire.NewArray("x", dims, []float32{1, 2, 3}))
		isError(t, err, gradwire.ErrInvalidArgument)
	}
	tensors, err := session.ListTensors(ctx, "")
	must(t, err)
	equal(t, len(tensors), 0)
}

func TestErrorsHaveReasonsAndDetails(t *testing.T) {
	ctx, client, session := open(t)
	_, err := session.PutArrays(ctx, false, gradwire.NewArray("a", []int64{2, 3}, make([]float32, 6)))
	must(t, err)
	_, err = session.Run(ctx, gradwire.CommandOf(forward(gradwire.Node("MatMul", []string{"a", "a"}, "c"))))
	isError(t, err, gradwire.ErrShapeMismatch)
	var failure *gradwire.Error
	if !errors.As(err, &failure) {
		t.Fatalf("%T is no *Error", err)
	}
	equal(t, failure.Code, codes.InvalidArgument)
	equal(t, failure.Metadata["op"], "MatMul")
	equal(t, failure.Metadata["command"], "0")
	_, err = session.FetchArrays(ctx, "nowhere")
	isError(t, err, gradwire.ErrTensorNotFound)
	_, err = session.Backward(ctx, &pb.BackwardRequest{Roots: []string{"a"}})
	isError(t, err, gradwire.ErrNoGraph)
	_, err = client.OpenSession(ctx, gradwire.SessionOptions{Device: "cuda:77"})
	isError(t, err, gradwire.ErrDeviceNotFound)
	_, err = session.Move(ctx, "cuda:77")
	isError(t, err, gradwire.ErrDeviceNotFound)
	device, err := session.Move(ctx, "cpu")
	must(t, err)
	equal(t, device, "cpu")
	must(t, session.Close(ctx))
	isError(t, session.KeepAlive(ctx), gradwire.ErrSessionNotFound)
	_, err = session.PutArrays(ctx, false, gradwire.NewArray("big", []int64{8 << 20}, make([]float32, 8<<20)))
	isError(t, err, gradwire.ErrSessionNotFound)
}

func TestUnreachable(t *testing.T) {
	client, err := gradwire.Dial("127.0.0.1:1")
	must(t, err)
	defer client.Close()
	_, err = client.ServerInfo(context.Background())
	var failure *gradwire.Error
	if !errors.As(err, &failure) || failure.Code != codes.Unavailable || failure.Reason != "" {
		t.Fatalf("got %v", err)
	}
}

func TestGradientsAndSteps(t *testing.T) {
	ctx, _, session := open(t)
	putFloats(ctx, t, session, "w", true, 3, 4)
	_, err := session.Forward(ctx, forward(
		gradwire.Node("Mul", []string{"w", "w"}, "ww"),
		gradwire.Node("ReduceSum", []string{"ww"}, "z", gradwire.IntAttribute("keepdims", 0))))
	must(t, err)
	_, err = session.Backward(ctx, &pb.BackwardRequest{Roots: []string{"z"}})
	must(t, err)
	equal(t, floats(ctx, t, session, "grad/w"), []float32{6, 8})
	step, err := session.Step(ctx, &pb.StepRequest{Optimizer: &pb.StepRequest_Sgd{Sgd: &pb.Sgd{Lr: 0.5}}})
	must(t, err)
	equal(t, step.GetStepped(), int32(1))
	equal(t, floats(ctx, t, session, "w"), []float32{0, 0})
	must(t, session.ZeroGrad(ctx))
	_, err = session.DescribeTensor(ctx, "grad/w")
	isError(t, err, gradwire.ErrTensorNotFound)
}

func TestProductsWithJacobianAndHessian(t *testing.T) {
	ctx, _, session := open(t)
	putFloats(ctx, t, session, "w", true, 3, 4)
	putFloats(ctx, t, session, "t", false, 1, 10)
	_, err := session.Forward(ctx, forward(
		gradwire.Node("Mul", []string{"w", "w"}, "ww"),
		gradwire.Node("Mul", []string{"ww", "w"}, "www"),
		gradwire.Node("ReduceSum", []string{"www"}, "z", gradwire.IntAttribute("keepdims", 0))))
	must(t, err)
	along := []*pb.Tangent{{Input: "w", Tensor: "t"}}
	moved, err := session.Jvp(ctx, &pb.JvpRequest{Outputs: []string{"z"}, Tangents: along, Fetch: true, RetainGraph: true})
	must(t, err)
	values, err := gradwire.Values[float32](gradwire.FromProto(moved.GetFetched()[0]))
	must(t, err)
	equal(t, values, []float32{27 + 480})
	_, err = session.Hvp(ctx, &pb.HvpRequest{Output: "z", Inputs: []string{"w"}, Vectors: along})
	must(t, err)
	equal(t, floats(ctx, t, session, "hvp/w"), []float32{18, 240})
	_, err = session.Hvp(ctx, &pb.HvpRequest{Output: "z", Inputs: []string{"w"}, Vectors: along})
	isError(t, err, gradwire.ErrGraphFreed)
	_, err = session.SetVjp(ctx, "nowhere", "neither")
	isError(t, err, gradwire.ErrProgramNotFound)
}

func TestAContextEndsACallOnTheServer(t *testing.T) {
	ctx, _, session := open(t)
	_, err := session.PutArrays(ctx, false, gradwire.NewArray("x", []int64{1024, 1024}, make([]float32, 1<<20)))
	must(t, err)
	var nodes []*pb.NodeProto
	for i := 0; i < 200; i++ {
		nodes = append(nodes, gradwire.Node("MatMul", []string{"x", "x"}, "y"+strconv.Itoa(i)))
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err = session.Forward(short, forward(nodes...))
	isError(t, err, gradwire.ErrDeadlineExceeded)
	isError(t, err, context.DeadlineExceeded)
	tensors, err := session.ListTensors(ctx, "")
	must(t, err)
	equal(t, len(tensors), 1) // Nothing was left behind.
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = session.FetchArrays(cancelled, "x")
	isError(t, err, context.Canceled)
}

func TestACommandSentAgainRunsOnce(t *testing.T) {
	ctx, _, session := open(t)
	putFloats(ctx, t, session, "x", false, 1)
	request := forward(gradwire.Node("Add", []string{"x", "x"}, "x"))
	request.Sequence = 1000
	for i := 0; i < 2; i++ {
		_, err := session.Forward(ctx, request)
		must(t, err)
	}
	equal(t, floats(ctx, t, session, "x"), []float32{2})
	request.Nodes[0].OpType = proto.String("Mul")
	_, err := session.Forward(ctx, request)
	isError(t, err, gradwire.ErrSequenceReused)
}

func TestAPipelineAnswersInOrderAndNamesTheFirstCause(t *testing.T) {
	ctx, _, session := open(t)
	putFloats(ctx, t, session, "x", false, 1)
	putFloats(ctx, t, session, "one", false, 1)
	pipeline, err := session.Pipeline(ctx)
	must(t, err)
	lost := pipeline.Send(gradwire.CommandOf(forward(gradwire.Node("Neg", []string{"nowhere"}, "y"))))
	poisoned := pipeline.Send(gradwire.CommandOf(forward(gradwire.Node("Neg", []string{"y"}, "z"))))
	var group sync.WaitGroup
	for i := 0; i < 3; i++ { // More than the server holds at a time.
		group.Add(1)
		go func() {
			defer group.Done()
			for i := 0; i < 1000; i++ {
				pipeline.Send(gradwire.CommandOf(forward(gradwire.Node("Add", []string{"x", "one"}, "x"))))
			}
		}()
	}
	group.Wait()
	last := pipeline.Send(gradwire.CommandOf(&pb.FetchRequest{Names: []string{"x"}}))
	must(t, pipeline.Close())
	_, err = lost.Wait(ctx)
	isError(t, err, gradwire.ErrTensorNotFound)
	_, err = poisoned.Wait(ctx)
	isError(t, err, gradwire.ErrDependencyFailed)
	result, err := last.Wait(ctx)
	must(t, err)
	values, err := gradwire.Values[float32](gradwire.FromProto(result.GetFetch().GetTensors()[0]))
	must(t, err)
	equal(t, values, []float32{3001})
}

func TestABrokenPipelineAnswersAll(t *testing.T) {
	ctx, _, session := open(t)
	pipeline, err := session.Pipeline(ctx)
	must(t, err)
	_, err = pipeline.Send(gradwire.CommandOf(&pb.FetchRequest{Names: []string{"x"}})).Wait(ctx)
	isError(t, err, gradwire.ErrTensorNotFound)
	must(t, session.Close(ctx))
	_, err = pipeline.Send(gradwire.CommandOf(&pb.FetchRequest{Names: []string{"x"}})).Wait(ctx)
	isError(t, err, gradwire.ErrSessionNotFound)
	isError(t, pipeline.Close(), gradwire.ErrSessionNotFound)
}

func TestAProgramIsLoadedAndRun(t *testing.T) {
	ctx, _, session := open(t)
	value := func(name string) *pb.ValueInfoProto {
		shape := &pb.TensorShapeProto{Dim: []*pb.TensorShapeProto_Dimension{
			{Value: &pb.TensorShapeProto_Dimension_DimValue{DimValue: 2}}}}
		kind := &pb.TypeProto_Tensor{ElemType: proto.Int32(int32(pb.TensorProto_FLOAT)), Shape: shape}
		return &pb.ValueInfoProto{Name: &name, Type: &pb.TypeProto{Value: &pb.TypeProto_TensorType{TensorType: kind}}}
	}
	model, err := proto.Marshal(&pb.ModelProto{
		IrVersion:   proto.Int64(8),
		OpsetImport: []*pb.OperatorSetIdProto{{Version: proto.Int64(18)}},
		Graph: &pb.GraphProto{
			Name:        proto.String("scale"),
			Node:        []*pb.NodeProto{gradwire.Node("Mul", []string{"x", "k"}, "y")},
			Initializer: []*pb.TensorProto{gradwire.NewArray("k", []int64{1}, []float32{10}).Proto()},
			Input:       []*pb.ValueInfoProto{value("x")},
			Output:      []*pb.ValueInfoProto{value("y")},
		},
	})
	must(t, err)
	info, err := session.LoadProgram(ctx, "scale", model, gradwire.ProgramOptions{Trainable: true})
	must(t, err)
	equal(t, info.GetParameters(), []string{"scale/k"})
	_, err = session.LoadProgram(ctx, "bad", []byte("no model"), gradwire.ProgramOptions{})
	isError(t, err, gradwire.ErrInvalidModel)
	request := &pb.ForwardRequest{
		Program: "scale", Fetch: []string{"y"},
		Feeds: []*pb.TensorProto{gradwire.NewArray("x", []int64{2}, []float32{1, 2}).Proto()},
	}
	response, err := session.Forward(ctx, request)
	must(t, err)
	values, err := gradwire.Values[float32](gradwire.FromProto(response.GetFetched()[0]))
	must(t, err)
	equal(t, values, []float32{10, 20})
	description, err := session.DescribeProgram(ctx, &pb.DescribeProgramRequest{Program: "scale"})
	must(t, err)
	equal(t, description.GetProgram().GetParameters(), []string{"scale/k"})
	must(t, session.UnloadProgram(ctx, "scale"))
	_, err = session.Forward(ctx, request)
	isError(t, err, gradwire.ErrProgramNotFound)
}
