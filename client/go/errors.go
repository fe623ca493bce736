package gradwire

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"gradwire/pb"
)

// Error is a call that failed: what the server, or the way to it, said.
type Error struct {
	// Code is gRPC's status code.
	Code codes.Code
	// Reason is the stable name from status.proto, "SHAPE_MISMATCH"; "" where gRPC itself failed.
	Reason string
	// Message says which command, node, op and tensor, what came and what was expected.
	Message string
	// Metadata has the details, each key where it applies: command, node, node_name, op, tensor, program, limit, used,
	// requested.
	Metadata map[string]string
	// RetryAfter is the time after which the server thinks another attempt worth while, or 0.
	RetryAfter time.Duration
}

// For errors.Is: an Error matches the one of its reason.
var (
	ErrSessionNotFound   = &Error{Code: codes.NotFound, Reason: "SESSION_NOT_FOUND"}
	ErrSessionExpired    = &Error{Code: codes.NotFound, Reason: "SESSION_EXPIRED"}
	ErrTensorNotFound    = &Error{Code: codes.NotFound, Reason: "TENSOR_NOT_FOUND"}
	ErrProgramNotFound   = &Error{Code: codes.NotFound, Reason: "PROGRAM_NOT_FOUND"}
	ErrInvalidArgument   = &Error{Code: codes.InvalidArgument, Reason: "INVALID_ARGUMENT"}
	ErrShapeMismatch     = &Error{Code: codes.InvalidArgument, Reason: "SHAPE_MISMATCH"}
	ErrDtypeMismatch     = &Error{Code: codes.InvalidArgument, Reason: "DTYPE_MISMATCH"}
	ErrInvalidModel      = &Error{Code: codes.InvalidArgument, Reason: "INVALID_MODEL"}
	ErrOpUnsupported     = &Error{Code: codes.Unimplemented, Reason: "OP_UNSUPPORTED"}
	ErrDeviceNotFound    = &Error{Code: codes.InvalidArgument, Reason: "DEVICE_NOT_FOUND"}
	ErrNotDifferentiable = &Error{Code: codes.FailedPrecondition, Reason: "NOT_DIFFERENTIABLE"}
	ErrNoGraph           = &Error{Code: codes.FailedPrecondition, Reason: "NO_GRAPH"}
	ErrNonFinite         = &Error{Code: codes.FailedPrecondition, Reason: "NON_FINITE"}
	ErrGraphFreed        = &Error{Code: codes.FailedPrecondition, Reason: "GRAPH_FREED"}
	ErrSequenceReused    = &Error{Code: codes.AlreadyExists, Reason: "SEQUENCE_REUSED"}
	ErrDependencyFailed  = &Error{Code: codes.FailedPrecondition, Reason: "DEPENDENCY_FAILED"}
	ErrUnauthenticated   = &Error{Code: codes.Unauthenticated, Reason: "UNAUTHENTICATED"}
	ErrQuotaExceeded     = &Error{Code: codes.ResourceExhausted, Reason: "QUOTA_EXCEEDED"}
	ErrOutOfMemory       = &Error{Code: codes.ResourceExhausted, Reason: "OUT_OF_MEMORY"}
	ErrDeviceFailed      = &Error{Code: codes.Unavailable, Reason: "DEVICE_FAILED"}
	ErrCancelled         = &Error{Code: codes.Canceled, Reason: "CANCELLED"}
	ErrDeadlineExceeded  = &Error{Code: codes.DeadlineExceeded, Reason: "DEADLINE_EXCEEDED"}
	ErrShuttingDown      = &Error{Code: codes.Unavailable, Reason: "SHUTTING_DOWN"}
	ErrInternal          = &Error{Code: codes.Internal, Reason: "INTERNAL"}
)

func (e *Error) Error() string {
	name := e.Reason
	if name == "" {
		name = e.Code.String()
	}
	return fmt.Sprintf("gradwire: %s: %s", name, e.Message)
}

// Is reports whether target is an *Error of the same reason, or context.Canceled or context.DeadlineExceeded where the
// code says so.
func (e *Error) Is(target error) bool {
	switch target {
	case context.Canceled:
		return e.Code == codes.Canceled
	case context.DeadlineExceeded:
		return e.Code == codes.DeadlineExceeded
	}
	other, ok := target.(*Error)
	return ok && other.Reason != "" && other.Reason == e.Reason
}

// fromError makes an *Error of what a stub returned. What is no error of a call, nil or a file's, it leaves as it is.
func fromError(err error) error {
	if err == nil {
		return nil
	}
	s, ok := status.FromError(err)
	if !ok {
		if s = status.FromContextError(err); s.Code() == codes.Unknown {
			return err
		}
	}
	result := &Error{Code: s.Code(), Message: s.Message()}
	for _, detail := range s.Proto().GetDetails() {
		result.addDetail(detail.GetTypeUrl(), detail.GetValue())
	}
	result.nameByCode()
	return result
}

// fromStatus makes an *Error of a serialized google.rpc.Status, as answers of a pipeline carry it.
func fromStatus(serialized []byte) error {
	s := &pb.RpcStatus{}
	if err := proto.Unmarshal(serialized, s); err != nil {
		return &Error{Code: codes.Internal, Reason: "INTERNAL", Message: "malformed error of a pipeline"}
	}
	result := &Error{Code: codes.Code(s.GetCode()), Message: s.GetMessage()}
	for _, detail := range s.GetDetails() {
		result.addDetail(detail.GetTypeUrl(), detail.GetValue())
	}
	return result
}

func (e *Error) addDetail(typeURL string, value []byte) {
	info, retry := &pb.ErrorInfo{}, &pb.RetryInfo{}
	switch {
	case strings.HasSuffix(typeURL, "/google.rpc.ErrorInfo") && proto.Unmarshal(value, info) == nil:
		e.Reason, e.Metadata = info.GetReason(), info.GetMetadata()
	case strings.HasSuffix(typeURL, "/google.rpc.RetryInfo") && proto.Unmarshal(value, retry) == nil:
		e.RetryAfter = retry.GetRetryDelay().AsDuration()
	}
}

// nameByCode gives a reason to failures of gRPC's own whose code says which is meant.
func (e *Error) nameByCode() {
	switch {
	case e.Reason != "":
	case e.Code == codes.Canceled:
		e.Reason = ErrCancelled.Reason
	case e.Code == codes.DeadlineExceeded:
		e.Reason = ErrDeadlineExceeded.Reason
	}
}

func invalid(format string, arguments ...interface{}) error {
	return &Error{
		Code: codes.InvalidArgument, Reason: ErrInvalidArgument.Reason, Message: fmt.Sprintf(format, arguments...),
	}
}

func malformed(what string) error {
	return &Error{Code: codes.Internal, Reason: ErrInternal.Reason, Message: "malformed answer: " + what}
}
