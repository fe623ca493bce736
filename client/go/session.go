package gradwire

import (
	"context"
	"sync/atomic"

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

// number takes the next sequence number where the caller chose none.
func (s *Session) number(sequence *uint64) {
	if *sequence == 0 {
		*sequence = s.next()
	}
}

// Close frees all that the session holds on the server.
func (s *Session) Close(ctx context.Context) error {
	_, err := call(ctx, s.id, &pb.CloseSessionRequest{SessionId: s.id}, s.client.stub.CloseSession)
	return err
}

// KeepAlive renews the lease, as every call does.
func (s *Session) KeepAlive(ctx context.Context) error {
	_, err := call(ctx, s.id, &pb.KeepAliveRequest{SessionId: s.id}, s.client.stub.KeepAlive)
	return err
}

// Describe returns device, lease, bytes used and allowed, and counts.
func (s *Session) Describe(ctx context.Context) (*pb.DescribeSessionResponse, error) {
	return call(ctx, s.id, &pb.DescribeSessionRequest{SessionId: s.id}, s.client.stub.DescribeSession)
}

// Put binds small arrays in one message; PutArrays takes any size.
func (s *Session) Put(ctx context.Context, request *pb.PutRequest) (*pb.PutResponse, error) {
	request.SessionId = s.id
	s.number(&request.Sequence)
	return call(ctx, s.id, request, s.client.stub.Put)
}

// Fetch returns small arrays in one message; FetchArrays takes any size.
func (s *Session) Fetch(ctx context.Context, request *pb.FetchRequest) (*pb.FetchResponse, error) {
	request.SessionId = s.id
	return call(ctx, s.id, request, s.client.stub.Fetch)
}

// Forward runs nodes or a program.
func (s *Session) Forward(ctx context.Context, request *pb.ForwardRequest) (*pb.ForwardResponse, error) {
	request.SessionId = s.id
	s.number(&request.Sequence)
	return call(ctx, s.id, request, s.client.stub.Forward)
}

// Backward adds gradients of the roots to "grad/LEAF".
func (s *Session) Backward(ctx context.Context, request *pb.BackwardRequest) (*pb.BackwardResponse, error) {
	request.SessionId = s.id
	s.number(&request.Sequence)
	return call(ctx, s.id, request, s.client.stub.Backward)
}

// Gradients binds gradients of outputs with respect to inputs, and adds to nothing.
func (s *Session) Gradients(ctx context.Context, request *pb.GradientsRequest) (*pb.GradientsResponse, error) {
	request.SessionId = s.id
	s.number(&request.Sequence)
	return call(ctx, s.id, request, s.client.stub.Gradients)
}

// Jvp binds or returns how outputs move when inputs move along tangents.
func (s *Session) Jvp(ctx context.Context, request *pb.JvpRequest) (*pb.JvpResponse, error) {
	request.SessionId = s.id
	s.number(&request.Sequence)
	return call(ctx, s.id, request, s.client.stub.Jvp)
}

// Hvp binds or returns the Hessian of an output times vectors.
func (s *Session) Hvp(ctx context.Context, request *pb.HvpRequest) (*pb.HvpResponse, error) {
	request.SessionId = s.id
	s.number(&request.Sequence)
	return call(ctx, s.id, request, s.client.stub.Hvp)
}

// Detach binds a leaf that shares storage and carries no graph.
func (s *Session) Detach(ctx context.Context, request *pb.DetachRequest) (*pb.DetachResponse, error) {
	request.SessionId = s.id
	s.number(&request.Sequence)
	return call(ctx, s.id, request, s.client.stub.Detach)
}

// Copy binds another name to a tensor, graph included.
func (s *Session) Copy(ctx context.Context, request *pb.CopyRequest) (*pb.CopyResponse, error) {
	request.SessionId = s.id
	s.number(&request.Sequence)
	return call(ctx, s.id, request, s.client.stub.Copy)
}

// Delete unbinds names.
func (s *Session) Delete(ctx context.Context, names ...string) error {
	request := &pb.DeleteRequest{SessionId: s.id, Sequence: s.next(), Names: names}
	_, err := call(ctx, s.id, request, s.client.stub.Delete)
	return err
}

// Step moves parameters along their gradients.
func (s *Session) Step(ctx context.Context, request *pb.StepRequest) (*pb.StepResponse, error) {
	request.SessionId = s.id
	s.number(&request.Sequence)
	return call(ctx, s.id, request, s.client.stub.Step)
}

// ZeroGrad unbinds gradients, all where no parameters are named.
func (s *Session) ZeroGrad(ctx context.Context, parameters ...string) error {
	request := &pb.ZeroGradRequest{SessionId: s.id, Sequence: s.next(), Parameters: parameters}
	_, err := call(ctx, s.id, request, s.client.stub.ZeroGrad)
	return err
}

// ListTensors returns what is bound to names that begin with prefix, in order of name.
func (s *Session) ListTensors(ctx context.Context, prefix string) ([]*pb.TensorInfo, error) {
	request := &pb.ListTensorsRequest{SessionId: s.id, Prefix: prefix}
	response, err := call(ctx, s.id, request, s.client.stub.ListTensors)
	return response.GetTensors(), err
}

// DescribeTensor returns what is bound to a name.
func (s *Session) DescribeTensor(ctx context.Context, name string) (*pb.TensorInfo, error) {
	request := &pb.DescribeTensorRequest{SessionId: s.id, Name: name}
	response, err := call(ctx, s.id, request, s.client.stub.DescribeTensor)
	return response.GetTensor(), err
}

// ListPrograms returns the loaded programs.
func (s *Session) ListPrograms(ctx context.Context) ([]*pb.ProgramInfo, error) {
	response, err := call(ctx, s.id, &pb.ListProgramsRequest{SessionId: s.id}, s.client.stub.ListPrograms)
	return response.GetPrograms(), err
}

// UnloadProgram forgets a program; its parameters stay bound.
func (s *Session) UnloadProgram(ctx context.Context, program string) error {
	request := &pb.UnloadProgramRequest{SessionId: s.id, Sequence: s.next(), Program: program}
	_, err := call(ctx, s.id, request, s.client.stub.UnloadProgram)
	return err
}

// DescribeProgram returns what a program needs, and the shapes in it, before it runs.
func (s *Session) DescribeProgram(
	ctx context.Context, request *pb.DescribeProgramRequest,
) (*pb.DescribeProgramResponse, error) {
	request.SessionId = s.id
	return call(ctx, s.id, request, s.client.stub.DescribeProgram)
}

// SetVjp makes the program vjp the derivative of another, whose operators give it again for "".
func (s *Session) SetVjp(ctx context.Context, program, vjp string) (*pb.ProgramInfo, error) {
	request := &pb.SetVjpRequest{SessionId: s.id, Sequence: s.next(), Program: program, Vjp: vjp}
	response, err := call(ctx, s.id, request, s.client.stub.SetVjp)
	return response.GetProgram(), err
}

// GetGraph returns the autograd graph behind a tensor, as an ONNX model and as DOT.
func (s *Session) GetGraph(ctx context.Context, name string) (*pb.GetGraphResponse, error) {
	return call(ctx, s.id, &pb.GetGraphRequest{SessionId: s.id, Name: name}, s.client.stub.GetGraph)
}

// Run runs commands in one round trip, all of them or none.
func (s *Session) Run(ctx context.Context, commands ...*pb.Command) (*pb.RunResponse, error) {
	return s.RunRequest(ctx, &pb.RunRequest{Commands: commands})
}

// RunRequest is Run with a request of one's own; one that is sent again under its sequence runs once.
func (s *Session) RunRequest(ctx context.Context, request *pb.RunRequest) (*pb.RunResponse, error) {
	request.SessionId = s.id
	s.number(&request.Sequence)
	return call(ctx, s.id, request, s.client.stub.Run)
}
