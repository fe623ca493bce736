package gradwire_test

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"gradwire"
	"gradwire/pb"
)

// A server that asks for a certificate and a token: at GRADWIRE_SECURED_TARGET; the folder GRADWIRE_CERTIFICATES has
// ca.pem, client.pem and client.key, and GRADWIRE_TOKEN is the token.
func secured(t *testing.T, options ...gradwire.Option) (context.Context, *gradwire.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	client, err := gradwire.Dial(os.Getenv("GRADWIRE_SECURED_TARGET"), options...)
	must(t, err)
	t.Cleanup(func() { must(t, client.Close()) })
	return ctx, client
}

func file(name string) string { return filepath.Join(os.Getenv("GRADWIRE_CERTIFICATES"), name) }

func config(t *testing.T) *tls.Config {
	t.Helper()
	config, err := gradwire.TLSFromFiles(file("ca.pem"), file("client.pem"), file("client.key"))
	must(t, err)
	return config
}

func TestEveryKindOfCallCarriesTheToken(t *testing.T) {
	ctx, client := secured(t, gradwire.WithTLS(config(t)), gradwire.WithToken(os.Getenv("GRADWIRE_TOKEN")))
	_, err := client.ServerInfo(ctx)
	must(t, err)
	session, err := client.OpenSession(ctx, gradwire.SessionOptions{})
	must(t, err)
	putFloats(ctx, t, session, "x", false, 1, 2)
	_, err = session.Run(ctx, gradwire.CommandOf(forward(gradwire.Node("Add", []string{"x", "x"}, "y"))))
	must(t, err)
	equal(t, floats(ctx, t, session, "y"), []float32{2, 4})
	pipeline, err := session.Pipeline(ctx)
	must(t, err)
	answer := pipeline.Send(gradwire.CommandOf(&pb.FetchRequest{Names: []string{"y"}}))
	must(t, pipeline.Close())
	_, err = answer.Wait(ctx)
	must(t, err)
	must(t, session.Close(ctx))
}

func TestATokenIsAskedFor(t *testing.T) {
	for _, token := range []string{"", "guess"} {
		ctx, client := secured(t, gradwire.WithTLS(config(t)), gradwire.WithToken(token))
		_, err := client.OpenSession(ctx, gradwire.SessionOptions{})
		isError(t, err, gradwire.ErrUnauthenticated)
	}
}

func TestServersAndClientsShowCertificates(t *testing.T) {
	named := config(t)
	named.ServerName = "gradwire.test"
	ctx, client := secured(t, gradwire.WithTLS(named), gradwire.WithToken(os.Getenv("GRADWIRE_TOKEN")))
	_, err := client.ServerInfo(ctx)
	must(t, err)

	other := config(t)
	other.ServerName = "other.test"
	noCertificate, err := gradwire.TLSFromFiles(file("ca.pem"), "", "")
	must(t, err)
	for _, options := range [][]gradwire.Option{
		{gradwire.WithTLS(other)}, {gradwire.WithTLS(noCertificate)}, {gradwire.WithTLS(&tls.Config{})}, {},
	} {
		ctx, client := secured(t, append(options, gradwire.WithToken(os.Getenv("GRADWIRE_TOKEN")))...)
		_, err := client.ServerInfo(ctx)
		var failure *gradwire.Error
		if !errors.As(err, &failure) || failure.Code != codes.Unavailable {
			t.Fatalf("got %v", err)
		}
	}
}

func TestFilesThatAreNone(t *testing.T) {
	for _, names := range [][3]string{
		{file("nowhere"), "", ""}, {file("ca.key"), "", ""}, {"", file("client.pem"), ""}, {"", "", file("client.key")},
	} {
		if _, err := gradwire.TLSFromFiles(names[0], names[1], names[2]); err == nil {
			t.Fatalf("no error for %v", names)
		}
	}
}
