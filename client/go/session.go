package gradwire

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"gradwire/pb"
)

// Session is an isolated namespace of tensors on a server. Its commands run in the order in which they arrive there.
type Session struct {
	client   *Client
	id       string
	sequence uint64
}

// ID is the session's id, as requests carry it.
func (s *Session) ID() string { return s.id }

func (s *Session) next() uint64 { return atomic.AddUint64(&s.sequence, 1) }

// unary calls a verb of the session with a copy of the request that is filled in: session_id, and where the verb has
// one, and the caller chose none, sequence. The caller's request stays as it was and can be sent again as a new command.
func unary[Request proto.Message, Response any](
	ctx context.Context, s *Session, request Request,
	method func(context.Context, Request, ...grpc.CallOption) (Response, error),
) (Response, error) {
	return call(ctx, s.client, s.id, s.fill(request).(Request), method)
}

// fill makes the copy, which shares what the request's fields refer to.
func (s *Session) fill(request proto.Message) proto.Message {
	from := request.ProtoReflect()
	to := from.New()
	from.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		to.Set(field, value)
		return true
	})
	to.SetUnknown(from.GetUnknown())
	fields := from.Descriptor().Fields()
	to.Set(fields.ByName("session_id"), protoreflect.ValueOfString(s.id))
	if sequence := fields.ByName("sequence"); sequence != nil && !to.Has(sequence) {
		to.Set(sequence, protoreflect.ValueOfUint64(s.next()))
	}
	return to.Interface()
}

// Close frees all that the session holds on the server.
func (s *Session) Close(ctx context.Context) error {
	_, err := unary(ctx, s, &pb.CloseSessionRequest{}, s.client.stub.CloseSession)
	return err
}

// KeepAlive renews the lease, as every call does.
func (s *Session) KeepAlive(ctx context.Context) error {
	_, err := unary(ctx, s, &pb.KeepAliveRequest{}, s.client.stub.KeepAlive)
	return err
}

// Describe returns device, lease, bytes used and allowed, and counts.
func (s *Session) Describe(ctx context.Context) (*pb.DescribeSessionResponse, error) {
	return unary(ctx, s, &pb.DescribeSessionRequest{}, s.client.stub.DescribeSession)
}

// Move has all of the session on another device of the server, "cpu" or "cuda:N", and returns where it is. Nothing has
// moved after an error.
func (s *Session) Move(ctx context.Context, device string) (string, error) {
	response, err := unary(ctx, s, &pb.MoveSessionRequest{Device: device}, s.client.stub.MoveSession)
	return response.GetDevice(), err
}

// Put binds small arrays in one message; PutArrays takes any size.
func (s *Session) Put(ctx context.Context, request *pb.PutRequest) (*pb.PutResponse, error) {
	return unary(ctx, s, request, s.client.stub.Put)
}

// Fetch returns small arrays in one message; FetchArrays takes any size.
func (s *Session) Fetch(ctx context.Context, request *pb.FetchRequest) (*pb.FetchResponse, error) {
	return unary(ctx, s, request, s.client.stub.Fetch)
}

// Forward runs nodes or a program.
func (s *Session) Forward(ctx context.Context, request *pb.ForwardRequest) (*pb.ForwardResponse, error) {
	return unary(ctx, s, request, s.client.stub.Forward)
}

// Backward adds gradients of the roots to "grad/LEAF".
func (s *Session) Backward(ctx context.Context, request *pb.BackwardRequest) (*pb.BackwardResponse, error) {
	return unary(ctx, s, request, s.client.stub.Backward)
}

// Gradients binds gradients of outputs with respect to inputs, and adds to nothing.
func (s *Session) Gradients(ctx context.Context, request *pb.GradientsRequest) (*pb.GradientsResponse, error) {
	return unary(ctx, s, request, s.client.stub.Gradients)
}

// Jvp binds or returns how outputs move when inputs move along tangents.
func (s *Session) Jvp(ctx context.Context, request *pb.JvpRequest) (*pb.JvpResponse, error) {
	return unary(ctx, s, request, s.client.stub.Jvp)
}

// Hvp binds or returns the Hessian of an output times vectors.
func (s *Session) Hvp(ctx context.Context, request *pb.HvpRequest) (*pb.HvpResponse, error) {
	return unary(ctx, s, request, s.client.stub.Hvp)
}

// Detach binds a leaf that shares storage and carries no graph.
func (s *Session) Detach(ctx context.Context, request *pb.DetachRequest) (*pb.DetachResponse, error) {
	return unary(ctx, s, request, s.client.stub.Detach)
}

// Copy binds another name to a tensor, graph included.
func (s *Session) Copy(ctx context.Context, request *pb.CopyRequest) (*pb.CopyResponse, error) {
	return unary(ctx, s, request, s.client.stub.Copy)
}

// Delete unbinds names.
func (s *Session) Delete(ctx context.Context, names ...string) error {
	request := &pb.DeleteRequest{Names: names}
	_, err := unary(ctx, s, request, s.client.stub.Delete)
	return err
}

// Step moves parameters along their gradients.
func (s *Session) Step(ctx context.Context, request *pb.StepRequest) (*pb.StepResponse, error) {
	return unary(ctx, s, request, s.client.stub.Step)
}

// ZeroGrad unbinds gradients, all where no parameters are named.
func (s *Session) ZeroGrad(ctx context.Context, parameters ...string) error {
	request := &pb.ZeroGradRequest{Parameters: parameters}
	_, err := unary(ctx, s, request, s.client.stub.ZeroGrad)
	return err
}

// ListTensors returns what is bound to names that begin with prefix, in order of name.
func (s *Session) ListTensors(ctx context.Context, prefix string) ([]*pb.TensorInfo, error) {
	request := &pb.ListTensorsRequest{Prefix: prefix}
	response, err := unary(ctx, s, request, s.client.stub.ListTensors)
	return response.GetTensors(), err
}

// DescribeTensor returns what is bound to a name.
func (s *Session) DescribeTensor(ctx context.Context, name string) (*pb.TensorInfo, error) {
	request := &pb.DescribeTensorRequest{Name: name}
	response, err := unary(ctx, s, request, s.client.stub.DescribeTensor)
	return response.GetTensor(), err
}

// ListPrograms returns the loaded programs.
func (s *Session) ListPrograms(ctx context.Context) ([]*pb.ProgramInfo, error) {
	response, err := unary(ctx, s, &pb.ListProgramsRequest{}, s.client.stub.ListPrograms)
	return response.GetPrograms(), err
}

// UnloadProgram forgets a program; its parameters stay bound.
func (s *Session) UnloadProgram(ctx context.Context, program string) error {
	request := &pb.UnloadProgramRequest{Program: program}
	_, err := unary(ctx, s, request, s.client.stub.UnloadProgram)
	return err
}

// DescribeProgram returns what a program needs, and the shapes in it, before it runs.
func (s *Session) DescribeProgram(
	ctx context.Context, request *pb.DescribeProgramRequest,
) (*pb.DescribeProgramResponse, error) {
	return unary(ctx, s, request, s.client.stub.DescribeProgram)
}

// SetVjp makes the program vjp the derivative of another, whose operators give it again for "".
func (s *Session) SetVjp(ctx context.Context, program, vjp string) (*pb.ProgramInfo, error) {
	request := &pb.SetVjpRequest{Program: program, Vjp: vjp}
	response, err := unary(ctx, s, request, s.client.stub.SetVjp)
	return response.GetProgram(), err
}

// GetGraph returns the autograd graph behind a tensor, as an ONNX model and as DOT.
func (s *Session) GetGraph(ctx context.Context, name string) (*pb.GetGraphResponse, error) {
	return unary(ctx, s, &pb.GetGraphRequest{Name: name}, s.client.stub.GetGraph)
}

// Run runs commands in one round trip, all of them or none.
func (s *Session) Run(ctx context.Context, commands ...*pb.Command) (*pb.RunResponse, error) {
	return s.RunRequest(ctx, &pb.RunRequest{Commands: commands})
}

// RunRequest is Run with a request of one's own; one that is sent again under its sequence runs once.
func (s *Session) RunRequest(ctx context.Context, request *pb.RunRequest) (*pb.RunResponse, error) {
	return unary(ctx, s, request, s.client.stub.Run)
}
