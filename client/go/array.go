package gradwire

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"

	"google.golang.org/grpc/codes"

	"gradwire/pb"
)

// An Array is an array on the client's side: Data is little-endian, row-major; sub-byte types are packed, first element
// in the low bits. No Dims means a scalar.
type Array struct {
	Name string
	Type pb.TensorProto_DataType
	Dims []int64
	Data []byte
}

// Element is a Go type that has an element type of its own. Other element types, 16-bit floats say, are built from
// bytes.
type Element interface {
	float32 | float64 | int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | bool | complex64 | complex128
}

// TypeOf returns the element type of a Go type.
func TypeOf[T Element]() pb.TensorProto_DataType {
	var zero T
	switch any(zero).(type) {
	case float32:
		return pb.TensorProto_FLOAT
	case float64:
		return pb.TensorProto_DOUBLE
	case int8:
		return pb.TensorProto_INT8
	case int16:
		return pb.TensorProto_INT16
	case int32:
		return pb.TensorProto_INT32
	case int64:
		return pb.TensorProto_INT64
	case uint8:
		return pb.TensorProto_UINT8
	case uint16:
		return pb.TensorProto_UINT16
	case uint32:
		return pb.TensorProto_UINT32
	case uint64:
		return pb.TensorProto_UINT64
	case bool:
		return pb.TensorProto_BOOL
	case complex64:
		return pb.TensorProto_COMPLEX64
	default:
		return pb.TensorProto_COMPLEX128
	}
}

// NewArray copies values, in row-major order, into an array of extents dims. Whether they fit is checked when it is put.
func NewArray[T Element](name string, dims []int64, values []T) Array {
	var buffer bytes.Buffer
	buffer.Grow(binary.Size(values))
	// Neither the buffer nor a slice of fixed-size values can fail.
	_ = binary.Write(&buffer, binary.LittleEndian, values)
	return Array{Name: name, Type: TypeOf[T](), Dims: dims, Data: buffer.Bytes()}
}

// Values copies an array's elements, in row-major order. It returns ErrDtypeMismatch where T is not its element type.
func Values[T Element](array Array) ([]T, error) {
	if array.Type != TypeOf[T]() {
		return nil, &Error{
			Code: codes.InvalidArgument, Reason: ErrDtypeMismatch.Reason,
			Message:  "tensor '" + array.Name + "' is " + array.Type.String() + ", read as " + TypeOf[T]().String(),
			Metadata: map[string]string{"tensor": array.Name},
		}
	}
	var one T
	values := make([]T, len(array.Data)/binary.Size(one))
	if err := binary.Read(bytes.NewReader(array.Data), binary.LittleEndian, values); err != nil {
		return nil, malformed(err.Error())
	}
	return values, nil
}

// Proto returns the array for a field of a request: feeds, seeds, Put. It shares Data.
func (a Array) Proto() *pb.TensorProto {
	code := int32(a.Type)
	return &pb.TensorProto{Name: &a.Name, DataType: &code, Dims: a.Dims, RawData: a.Data}
}

// FromProto returns an array that an answer brought in RawData, which it shares.
func FromProto(tensor *pb.TensorProto) Array {
	return Array{
		Name: tensor.GetName(), Type: pb.TensorProto_DataType(tensor.GetDataType()),
		Dims: tensor.GetDims(), Data: tensor.GetRawData(),
	}
}

// bitWidths of element types; STRING has none.
var bitWidths = map[pb.TensorProto_DataType]uint64{
	pb.TensorProto_UINT2: 2, pb.TensorProto_INT2: 2,
	pb.TensorProto_UINT4: 4, pb.TensorProto_INT4: 4, pb.TensorProto_FLOAT4E2M1: 4,
	pb.TensorProto_UINT8: 8, pb.TensorProto_INT8: 8, pb.TensorProto_BOOL: 8,
	pb.TensorProto_FLOAT8E4M3FN: 8, pb.TensorProto_FLOAT8E4M3FNUZ: 8, pb.TensorProto_FLOAT8E5M2: 8,
	pb.TensorProto_FLOAT8E5M2FNUZ: 8, pb.TensorProto_FLOAT8E8M0: 8,
	pb.TensorProto_UINT16: 16, pb.TensorProto_INT16: 16, pb.TensorProto_FLOAT16: 16, pb.TensorProto_BFLOAT16: 16,
	pb.TensorProto_FLOAT: 32, pb.TensorProto_INT32: 32, pb.TensorProto_UINT32: 32,
	pb.TensorProto_DOUBLE: 64, pb.TensorProto_INT64: 64, pb.TensorProto_UINT64: 64, pb.TensorProto_COMPLEX64: 64,
	pb.TensorProto_COMPLEX128: 128,
}

// byteSize is what an array of this type and extents takes on the wire.
func byteSize(kind pb.TensorProto_DataType, dims []int64) (int, error) {
	width, ok := bitWidths[kind]
	if !ok {
		return 0, invalid("arrays of %v have no fixed width", kind)
	}
	count := uint64(1)
	for _, dim := range dims {
		if dim < 0 {
			return 0, invalid("extent %d is negative", dim)
		}
		high, low := bits.Mul64(count, uint64(dim))
		if high != 0 || low > math.MaxInt64/128 {
			return 0, invalid("the product of the extents %v overflows", dims)
		}
		count = low
	}
	return int((count*width + 7) / 8), nil
}
