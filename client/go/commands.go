package gradwire

import (
	"google.golang.org/protobuf/proto"

	"gradwire/pb"
)

// Node is an operator call in ONNX's default domain: Node("MatMul", []string{"x", "w"}, "h").
func Node(op string, inputs []string, output string, attributes ...*pb.AttributeProto) *pb.NodeProto {
	return &pb.NodeProto{OpType: &op, Input: inputs, Output: []string{output}, Attribute: attributes}
}

// IntAttribute is an integer attribute of a node.
func IntAttribute(name string, value int64) *pb.AttributeProto {
	return &pb.AttributeProto{Name: &name, Type: pb.AttributeProto_INT.Enum(), I: &value}
}

// FloatAttribute is a float attribute of a node.
func FloatAttribute(name string, value float32) *pb.AttributeProto {
	return &pb.AttributeProto{Name: &name, Type: pb.AttributeProto_FLOAT.Enum(), F: &value}
}

// IntsAttribute is a list of integers as an attribute of a node.
func IntsAttribute(name string, values ...int64) *pb.AttributeProto {
	return &pb.AttributeProto{Name: &name, Type: pb.AttributeProto_INTS.Enum(), Ints: values}
}

// CommandOf makes a request a command of a Run or a pipeline. It panics for a message that is no command.
func CommandOf(request proto.Message) *pb.Command {
	switch r := request.(type) {
	case *pb.PutRequest:
		return &pb.Command{Command: &pb.Command_Put{Put: r}}
	case *pb.FetchRequest:
		return &pb.Command{Command: &pb.Command_Fetch{Fetch: r}}
	case *pb.ForwardRequest:
		return &pb.Command{Command: &pb.Command_Forward{Forward: r}}
	case *pb.BackwardRequest:
		return &pb.Command{Command: &pb.Command_Backward{Backward: r}}
	case *pb.GradientsRequest:
		return &pb.Command{Command: &pb.Command_Gradients{Gradients: r}}
	case *pb.JvpRequest:
		return &pb.Command{Command: &pb.Command_Jvp{Jvp: r}}
	case *pb.HvpRequest:
		return &pb.Command{Command: &pb.Command_Hvp{Hvp: r}}
	case *pb.DetachRequest:
		return &pb.Command{Command: &pb.Command_Detach{Detach: r}}
	case *pb.CopyRequest:
		return &pb.Command{Command: &pb.Command_Copy{Copy: r}}
	case *pb.DeleteRequest:
		return &pb.Command{Command: &pb.Command_Delete{Delete: r}}
	case *pb.StepRequest:
		return &pb.Command{Command: &pb.Command_Step{Step: r}}
	case *pb.ZeroGradRequest:
		return &pb.Command{Command: &pb.Command_ZeroGrad{ZeroGrad: r}}
	}
	panic("gradwire: " + string(request.ProtoReflect().Descriptor().FullName()) + " is no command")
}
