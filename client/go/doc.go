// Package gradwire is a client of a gradwire server: tensor compute with gradients over gRPC.
//
// A Client is a connection, a Session an isolated namespace of tensors on the server. The verbs have the names, and
// take and give the messages, of gradwire.proto (package pb, made from it). A request may leave SessionId and Sequence
// empty; it is not changed, and sent again it is a new command. Arrays of any size go in and out by chunks:
//
//	client, err := gradwire.Dial("127.0.0.1:50051") // WithTLS, WithToken
//	...
//	defer client.Close()
//	session, err := client.OpenSession(ctx, gradwire.SessionOptions{})
//	...
//	defer session.Close(ctx)
//	_, err = session.PutArrays(ctx, false, gradwire.NewArray("x", []int64{3}, []float32{1, 2, 3}))
//
// Every verb takes a context, whose deadline and cancellation reach the server: work stops there between two operators,
// and the command has then happened wholly or not at all. A failed call returns an *Error; errors.Is compares it with
// ErrTensorNotFound and the like. A call that finds the server unavailable is tried again, under the same sequence
// number, so that no command runs twice.
//
// Clients and sessions may be used from several goroutines.
package gradwire
