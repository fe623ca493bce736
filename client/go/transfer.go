package gradwire

import (
	"context"
	"errors"
	"io"

	"gradwire/pb"
)

const chunkBytes = 2 << 20

// PutArrays binds arrays of any size. It fails with ErrInvalidArgument, before anything is sent, where an array's Data
// does not fit its type and extents.
func (s *Session) PutArrays(ctx context.Context, requiresGrad bool, arrays ...Array) ([]*pb.TensorInfo, error) {
	for _, array := range arrays {
		size, err := byteSize(array.Type, array.Dims)
		if err != nil {
			return nil, err
		}
		if size != len(array.Data) {
			return nil, invalid("tensor '%s' takes %d bytes, has %d", array.Name, size, len(array.Data))
		}
	}
	if len(arrays) == 0 {
		return nil, nil
	}
	sequence := s.next()
	var response *pb.PutResponse
	err := try(ctx, s.id, func(ctx context.Context) error {
		stream, err := s.client.stub.PutStream(ctx)
		if err != nil {
			return err
		}
		chunk := &pb.PutChunk{SessionId: s.id, Sequence: sequence}
		for _, array := range arrays {
			chunk.Name, chunk.RequiresGrad = array.Name, requiresGrad
			chunk.Spec = &pb.TensorSpec{Dims: array.Dims, DataType: int32(array.Type)}
			if err := sendChunks(stream, chunk, array.Data); err != nil {
				return err
			}
			chunk = &pb.PutChunk{}
		}
		response, err = stream.CloseAndRecv()
		return err
	})
	return response.GetTensors(), err
}

// sendChunks sends data, the first part of it in the message that is given.
func sendChunks(stream pb.Gradwire_PutStreamClient, chunk *pb.PutChunk, data []byte) error {
	for first := true; first || len(data) > 0; first = false {
		size := len(data)
		if size > chunkBytes {
			size = chunkBytes
		}
		chunk.Data, data = data[:size], data[size:]
		if err := stream.Send(chunk); errors.Is(err, io.EOF) {
			_, err = stream.CloseAndRecv() // The call has ended early: this says why.
			return err
		} else if err != nil {
			return err
		}
		chunk = &pb.PutChunk{}
	}
	return nil
}

// FetchArrays returns arrays of any size, in the order of names.
func (s *Session) FetchArrays(ctx context.Context, names ...string) ([]Array, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // Ends a stream that is not read to its end.
	var arrays []Array
	err := try(ctx, s.id, func(ctx context.Context) error {
		stream, err := s.client.stub.FetchStream(ctx, &pb.FetchRequest{SessionId: s.id, Names: names})
		if err != nil {
			return err
		}
		arrays, err = assemble(stream, len(names))
		return err
	})
	if err != nil {
		return nil, err
	}
	return arrays, nil
}

// assemble allocates each array once and writes its chunks in place.
func assemble(stream pb.Gradwire_FetchStreamClient, count int) ([]Array, error) {
	var arrays []Array
	var rest []byte // of the last array
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if spec := chunk.GetSpec(); spec != nil {
			if len(rest) != 0 {
				return nil, malformed("a tensor is cut short")
			}
			array := Array{Name: chunk.GetName(), Type: pb.TensorProto_DataType(spec.GetDataType()), Dims: spec.GetDims()}
			size, err := byteSize(array.Type, array.Dims)
			if err != nil {
				return nil, err
			}
			array.Data = make([]byte, size)
			rest = array.Data
			arrays = append(arrays, array)
		}
		if len(arrays) == 0 || len(chunk.GetData()) > len(rest) ||
			chunk.GetOffset() != int64(len(arrays[len(arrays)-1].Data)-len(rest)) {
			return nil, malformed("chunks do not fit together")
		}
		rest = rest[copy(rest, chunk.GetData()):]
	}
	if len(rest) != 0 || len(arrays) != count {
		return nil, malformed("tensors are missing")
	}
	return arrays, nil
}

// ProgramOptions say how a program's parameters are bound.
type ProgramOptions struct {
	// Trainable makes initializers leaves that collect gradients.
	Trainable bool
	// ParameterPrefix of their names; the program's name and "/" where nil.
	ParameterPrefix *string
}

// LoadProgram loads a serialized ONNX model of any size under a name. Fails with ErrInvalidModel.
func (s *Session) LoadProgram(
	ctx context.Context, program string, model []byte, options ProgramOptions,
) (*pb.ProgramInfo, error) {
	sequence := s.next()
	var response *pb.LoadProgramResponse
	err := try(ctx, s.id, func(ctx context.Context) error {
		stream, err := s.client.stub.LoadProgram(ctx)
		if err != nil {
			return err
		}
		request := &pb.LoadProgramRequest{
			SessionId: s.id, Sequence: sequence, Program: program,
			Trainable: options.Trainable, ParameterPrefix: options.ParameterPrefix,
		}
		for rest := model; ; request = (&pb.LoadProgramRequest{}) {
			size := len(rest)
			if size > chunkBytes {
				size = chunkBytes
			}
			request.Data, rest = rest[:size], rest[size:]
			if err := stream.Send(request); err != nil && !errors.Is(err, io.EOF) {
				return err
			} else if err != nil || len(rest) == 0 {
				break
			}
		}
		response, err = stream.CloseAndRecv()
		return err
	})
	return response.GetProgram(), err
}
