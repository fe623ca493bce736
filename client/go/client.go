package gradwire

import (
	"context"
	"math"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"gradwire/pb"
)

const (
	attempts   = 4
	firstPause = 50 * time.Millisecond
)

// Client is a connection to a server.
type Client struct {
	connection *grpc.ClientConn
	stub       pb.GradwireClient
}

// Dial returns a client of the server at target ("host:port"), which connects at the first call. Without options the
// connection is in plaintext; with them, they say what it is: grpc.WithTransportCredentials for TLS,
// grpc.WithPerRPCCredentials for tokens.
func Dial(target string, options ...grpc.DialOption) (*Client, error) {
	if len(options) == 0 {
		options = append(options, grpc.WithInsecure())
	}
	options = append(options, grpc.WithDefaultCallOptions(
		grpc.ForceCodec(codec{}), grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32)))
	connection, err := grpc.Dial(target, options...)
	if err != nil {
		return nil, err
	}
	return &Client{connection: connection, stub: pb.NewGradwireClient(connection)}, nil
}

// Close ends the connection. Sessions that are open live on until their lease ends.
func (c *Client) Close() error { return c.connection.Close() }

// Connection is for health checks, reflection, or a stub of one's own.
func (c *Client) Connection() *grpc.ClientConn { return c.connection }

// ServerInfo returns version, devices, limits and the support matrix.
func (c *Client) ServerInfo(ctx context.Context) (*pb.GetServerInfoResponse, error) {
	return call(ctx, "", &pb.GetServerInfoRequest{}, c.stub.GetServerInfo)
}

// SessionOptions say what a session is. The zero value leaves all to the server.
type SessionOptions struct {
	// Device is "cpu" or "cuda:N".
	Device string
	// Lease is how long the session lives without a call.
	Lease time.Duration
	// MaxBytes is what its tensors may take.
	MaxBytes int64
	// Seed of its random generator.
	Seed *int64
}

// OpenSession opens a session; the caller closes it. Fails with ErrDeviceNotFound, ErrQuotaExceeded.
func (c *Client) OpenSession(ctx context.Context, options SessionOptions) (*Session, error) {
	request := &pb.OpenSessionRequest{Device: options.Device, MaxBytes: options.MaxBytes, Seed: options.Seed}
	if options.Lease != 0 {
		request.Lease = durationpb.New(options.Lease)
	}
	response, err := call(ctx, "", request, c.stub.OpenSession)
	if err != nil {
		return nil, err
	}
	return &Session{client: c, id: response.GetSessionId()}, nil
}

// codec is gRPC's own for today's messages. The gRPC of Debian 12 is built with the runtime before them.
type codec struct{}

func (codec) Name() string { return "proto" }

func (codec) Marshal(message interface{}) ([]byte, error) {
	return proto.Marshal(message.(proto.Message))
}

func (codec) Unmarshal(data []byte, message interface{}) error {
	return proto.Unmarshal(data, message.(proto.Message))
}

// try makes a call, again while the server is unavailable and the context lives.
func try(ctx context.Context, sessionID string, once func(ctx context.Context) error) error {
	if sessionID != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "gradwire-session", sessionID)
	}
	pause := firstPause
	for attempt := 1; ; attempt++ {
		err := fromError(once(ctx))
		failure, ok := err.(*Error)
		if !ok || failure.Code != codes.Unavailable || attempt == attempts {
			return err
		}
		select {
		case <-time.After(pause):
			pause *= 2
		case <-ctx.Done():
			return fromError(ctx.Err())
		}
	}
}

// call makes a unary call by a method of the stub.
func call[Request, Response any](
	ctx context.Context, sessionID string, request *Request,
	method func(context.Context, *Request, ...grpc.CallOption) (*Response, error),
) (*Response, error) {
	var response *Response
	err := try(ctx, sessionID, func(ctx context.Context) (err error) {
		response, err = method(ctx, request)
		return err
	})
	if err != nil {
		return nil, err
	}
	return response, nil
}
