package gradwire

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"math"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
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
	token      string
}

// Dial returns a client of the server at target ("host:port"), which connects at the first call. Without WithTLS the
// connection is in plaintext.
func Dial(target string, options ...Option) (*Client, error) {
	chosen := dialOptions{}
	for _, option := range options {
		option(&chosen)
	}
	transport := grpc.WithInsecure()
	if chosen.tls != nil {
		transport = grpc.WithTransportCredentials(credentials.NewTLS(chosen.tls))
	}
	connection, err := grpc.Dial(target, append([]grpc.DialOption{transport, grpc.WithDefaultCallOptions(
		grpc.ForceCodec(codec{}), grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32))},
		chosen.grpc...)...)
	if err != nil {
		return nil, err
	}
	return &Client{connection: connection, stub: pb.NewGradwireClient(connection), token: chosen.token}, nil
}

// Close ends the connection. Sessions that are open live on until their lease ends.
func (c *Client) Close() error { return c.connection.Close() }

// Connection is for health checks, reflection, or a stub of one's own.
func (c *Client) Connection() *grpc.ClientConn { return c.connection }

// ServerInfo returns version, devices, limits and the support matrix.
func (c *Client) ServerInfo(ctx context.Context) (*pb.GetServerInfoResponse, error) {
	return call(ctx, c, "", &pb.GetServerInfoRequest{}, c.stub.GetServerInfo)
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
	// What a GPU may do to be faster: compute products of float32 arrays in TF32, round partial sums of 16-bit products
	// to 16 bits, add up in an order that differs from run to run.
	AllowTF32, AllowHalfSums, AllowNondeterministic bool
	// ID is 128 random bits as 32 hexadecimal digits; "" has the client draw them. Either way a balancer sends this call
	// already where the session will be. The ID of a session that is open gives that session.
	ID string
}

// OpenSession opens a session; the caller closes it. Fails with ErrDeviceNotFound, ErrQuotaExceeded, ErrUnauthenticated.
func (c *Client) OpenSession(ctx context.Context, options SessionOptions) (*Session, error) {
	var random [24]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, err
	}
	if options.ID == "" {
		options.ID = hex.EncodeToString(random[:16])
	}
	request := &pb.OpenSessionRequest{
		Device: options.Device, MaxBytes: options.MaxBytes, Seed: options.Seed, SessionId: options.ID,
		AllowTf32: options.AllowTF32, AllowHalfSums: options.AllowHalfSums,
		AllowNondeterministic: options.AllowNondeterministic,
	}
	if options.Lease != 0 {
		request.Lease = durationpb.New(options.Lease)
	}
	response, err := call(ctx, c, options.ID, request, c.stub.OpenSession)
	if err != nil {
		return nil, err
	}
	// Numbers begin anywhere, so that clients that share a session do not take each other's.
	sequence := binary.LittleEndian.Uint64(random[16:]) >> 2
	return &Session{client: c, id: response.GetSessionId(), sequence: sequence}, nil
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

// outgoing adds what every call carries: the session's id, for load balancers, and the token.
func (c *Client) outgoing(ctx context.Context, sessionID string) context.Context {
	if sessionID != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "gradwire-session", sessionID)
	}
	if c.token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.token)
	}
	return ctx
}

// try makes a call, again while the server is unavailable and the context lives. The call's own context ends with it:
// a stream that was left in the middle is given up.
func (c *Client) try(ctx context.Context, sessionID string, once func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(c.outgoing(ctx, sessionID))
	defer cancel()
	pause := firstPause
	for attempt := 1; ; attempt++ {
		err := fromError(once(ctx))
		failure, ok := err.(*Error)
		if !ok || failure.Code != codes.Unavailable || attempt == attempts {
			return err
		}
		wait := pause
		if failure.RetryAfter > wait {
			wait = failure.RetryAfter
		}
		select {
		case <-time.After(wait):
			pause *= 2
		case <-ctx.Done():
			return fromError(ctx.Err())
		}
	}
}

// call makes a unary call by a method of the stub.
func call[Request, Response any](
	ctx context.Context, client *Client, sessionID string, request Request,
	method func(context.Context, Request, ...grpc.CallOption) (Response, error),
) (response Response, err error) {
	err = client.try(ctx, sessionID, func(ctx context.Context) (err error) {
		response, err = method(ctx, request)
		return err
	})
	return response, err
}
