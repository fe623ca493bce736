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
	err := s.client.try(ctx, s.id, func(ctx context.Context) error {
		stream, err := s.client.stub.PutStream(ctx)
		if err != nil {
			return err
		}
		response, err = upload[pb.PutChunk, pb.PutResponse](stream, func(send func(*pb.PutChunk) error) error {
			chunk := &pb.PutChunk{SessionId: s.id, Sequence: sequence}
			for _, array := range arrays {
				chunk.Name, chunk.RequiresGrad = array.Name, requiresGrad
				chunk.Spec = &pb.TensorSpec{Dims: array.Dims, DataType: int32(array.Type)}
				err := split(array.Data, func(part []byte) error {
					chunk.Data = part
					err := send(chunk)
					chunk = &pb.PutChunk{}
					return err
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		return err
	})
	return response.GetTensors(), err
}

// uploader is a client's side of a call that takes a stream of messages.
type uploader[Message, Response any] interface {
	Send(*Message) error
	CloseAndRecv() (*Response, error)
}

// upload sends what messages makes, and returns the answer.
func upload[Message, Response any](
	stream uploader[Message, Response], messages func(send func(*Message) error) error,
) (*Response, error) {
	// A call that ended early is io.EOF here; its answer says why.
	if err := messages(stream.Send); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return stream.CloseAndRecv()
}

// split gives data to take in parts of a message's size, at least one.
func split(data []byte, take func(part []byte) error) error {
	for first := true; first || len(data) > 0; first = false {
		size := len(data)
		if size > chunkBytes {
			size = chunkBytes
		}
		if err := take(data[:size]); err != nil {
			return err
		}
		data = data[size:]
	}
	return nil
}

// FetchArrays returns arrays of any size, in the order of names.
func (s *Session) FetchArrays(ctx context.Context, names ...string) ([]Array, error) {
	var arrays []Array
	err := s.client.try(ctx, s.id, func(ctx context.Context) error {
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
