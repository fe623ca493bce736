package gradwire

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"google.golang.org/grpc"
)

type dialOptions struct {
	tls   *tls.Config
	token string
	grpc  []grpc.DialOption
}

// An Option says how Dial connects.
type Option func(*dialOptions)

// WithTLS speaks TLS. &tls.Config{} trusts the system's authorities; TLSFromFiles reads others, and a client's own
// certificate, from files. Its ServerName is the name in the server's certificate, where that is not the host of the
// target.
func WithTLS(config *tls.Config) Option {
	return func(options *dialOptions) { options.tls = config }
}

// WithToken shows a token to the server with each call; who reads the network reads it too, but for TLS.
func WithToken(token string) Option {
	return func(options *dialOptions) { options.token = token }
}

// WithGRPC passes options of gRPC's on: interceptors, keep-alive, a dialer.
func WithGRPC(dial ...grpc.DialOption) Option {
	return func(options *dialOptions) { options.grpc = append(options.grpc, dial...) }
}

// TLSFromFiles reads PEM files: the authorities that the server's certificate must come from ("": the system's), and, for
// servers that ask for one, the client's certificate and its key ("": none).
func TLSFromFiles(ca, cert, key string) (*tls.Config, error) {
	config := &tls.Config{}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("gradwire: %s holds no certificate in PEM form", ca)
		}
	}
	if cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
