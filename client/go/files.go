package gradwire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"gradwire/pb"
)

// ProgramOptions say how a program's parameters are bound.
type ProgramOptions struct {
	// Trainable makes initializers leaves that collect gradients.
	Trainable bool
	// ParameterPrefix of their names; the program's name and "/" where nil.
	ParameterPrefix *string
	// External has files in which initializers are kept, by the location that these name: ExternalFiles finds them. They
	// are sent in parts, and may exceed what a model can have.
	External map[string]string
}

// LoadProgram loads a serialized ONNX model of any size under a name. Fails with ErrInvalidModel.
func (s *Session) LoadProgram(
	ctx context.Context, program string, model []byte, options ProgramOptions,
) (*pb.ProgramInfo, error) {
	return s.LoadProgramRequest(ctx, &pb.LoadProgramRequest{
		Program: program, Trainable: options.Trainable, ParameterPrefix: options.ParameterPrefix,
	}, model, options.External)
}

// LoadProgramRequest is LoadProgram with a request of one's own, all but its data and external: with a graph it records
// nodes once, and model is nil.
func (s *Session) LoadProgramRequest(
	ctx context.Context, request *pb.LoadProgramRequest, model []byte, external map[string]string,
) (*pb.ProgramInfo, error) {
	head := s.fill(request)
	locations := make([]string, 0, len(external))
	for location := range external {
		locations = append(locations, location)
	}
	sort.Strings(locations) // A second try must send the same.
	var response *pb.LoadProgramResponse
	err := s.client.try(ctx, s.id, func(ctx context.Context) error {
		stream, err := s.client.stub.LoadProgram(ctx)
		if err != nil {
			return err
		}
		messages := func(send func(*pb.LoadProgramRequest) error) error {
			message := proto.Clone(head).(*pb.LoadProgramRequest)
			err := split(model, func(part []byte) error {
				message.Data = part
				err := send(message)
				message = &pb.LoadProgramRequest{}
				return err
			})
			for _, location := range locations {
				if err == nil {
					err = splitFile(external[location], location, func(part *pb.FileChunk) error {
						return send(&pb.LoadProgramRequest{External: part})
					})
				}
			}
			return err
		}
		response, err = upload[pb.LoadProgramRequest, pb.LoadProgramResponse](stream, messages)
		return err
	})
	return response.GetProgram(), err
}

// ExternalFiles returns the files under folder in which a serialized model's initializers are kept, by the location that
// these name. Fails with ErrInvalidModel for bytes that are no model, for a location that is absolute, has "..", or leads
// out of the folder through a link, and where there is no such file.
func ExternalFiles(model []byte, folder string) (map[string]string, error) {
	if !bytes.Contains(model, []byte("location")) {
		return nil, nil // Every entry has this key; a model without it need not be parsed here.
	}
	parsed := &pb.ModelProto{}
	if err := proto.Unmarshal(model, parsed); err != nil {
		return nil, &Error{
			Code: codes.InvalidArgument, Reason: ErrInvalidModel.Reason,
			Message: fmt.Sprintf("the %d bytes are not an onnx.ModelProto", len(model)),
		}
	}
	files := map[string]string{}
	for _, tensor := range parsed.GetGraph().GetInitializer() {
		if tensor.GetDataLocation() != pb.TensorProto_EXTERNAL {
			continue
		}
		location := ""
		for _, entry := range tensor.GetExternalData() {
			if entry.GetKey() == "location" {
				location = entry.GetValue()
			}
		}
		path, why := resolve(folder, location)
		if why != "" {
			return nil, &Error{
				Code: codes.InvalidArgument, Reason: ErrInvalidModel.Reason,
				Message:  fmt.Sprintf("initializer '%s': external data at '%s' %s", tensor.GetName(), location, why),
				Metadata: map[string]string{"tensor": tensor.GetName()},
			}
		}
		files[location] = path
	}
	return files, nil
}

// resolve returns the path of a location, or why it has none.
func resolve(folder, location string) (path, why string) {
	parts := strings.Split(strings.ReplaceAll(location, "\\", "/"), "/")
	outside := parts[0] == "" || strings.Contains(location, ":")
	for _, part := range parts {
		outside = outside || part == ".."
	}
	if outside {
		return "", "is not at a relative path without '..'"
	}
	root, err := filepath.EvalSymlinks(folder)
	if err == nil {
		path, err = filepath.EvalSymlinks(filepath.Join(folder, location))
	}
	if err != nil {
		return "", fmt.Sprintf("is not there: no such file in '%s'", folder)
	}
	inside, err := filepath.Rel(root, path)
	if err != nil || inside == ".." || strings.HasPrefix(inside, ".."+string(filepath.Separator)) {
		return "", fmt.Sprintf("leads out of '%s'", folder)
	}
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return "", fmt.Sprintf("is not there: no such file in '%s'", folder)
	}
	return path, ""
}

// Save writes the session into a folder (SaveSession), which is made where it is missing: tensors.safetensors and one
// programs/NAME.onnx a program. Tensors of these names; all where there are none. It returns the files' paths. A file that
// cannot be written is an *fs.PathError.
func (s *Session) Save(ctx context.Context, folder string, names ...string) ([]string, error) {
	var written []string
	err := s.client.try(ctx, s.id, func(ctx context.Context) error {
		stream, err := s.client.stub.SaveSession(ctx, &pb.SaveSessionRequest{SessionId: s.id, Names: names})
		if err != nil {
			return err
		}
		written, err = writeFiles(stream, folder)
		return err
	})
	if err != nil {
		return nil, err
	}
	return written, nil
}

// writeFiles writes the files of a stream, and returns their paths.
func writeFiles(stream pb.Gradwire_SaveSessionClient, folder string) (written []string, err error) {
	var file *os.File
	end := func() error {
		if file == nil {
			return nil
		}
		closing := file
		file = nil
		return closing.Close()
	}
	defer func() { _ = end() }() // Of a file that was not ended, after an error.
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return written, end()
		}
		if err != nil {
			return nil, err
		}
		if name := chunk.GetPath(); name != "" {
			if !fs.ValidPath(name) {
				return nil, malformed("a file outside the folder: " + name)
			}
			path := filepath.Join(folder, filepath.FromSlash(name))
			if err := end(); err != nil {
				return nil, err
			}
			if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
				return nil, err
			}
			if file, err = os.Create(path); err != nil {
				return nil, err
			}
			written = append(written, path)
		}
		if file == nil {
			return nil, malformed("the first part of a file has no path")
		}
		if _, err := file.Write(chunk.GetData()); err != nil {
			return nil, err
		}
	}
}

// Restore binds what a folder holds that Save wrote (RestoreSession), besides what the session has; its tensors become
// leaves. A file that cannot be read is an *fs.PathError.
func (s *Session) Restore(ctx context.Context, folder string) (*pb.RestoreSessionResponse, error) {
	sequence := s.next()
	var response *pb.RestoreSessionResponse
	err := s.client.try(ctx, s.id, func(ctx context.Context) error {
		stream, err := s.client.stub.RestoreSession(ctx)
		if err != nil {
			return err
		}
		messages := func(send func(*pb.RestoreSessionRequest) error) error {
			message := &pb.RestoreSessionRequest{SessionId: s.id, Sequence: sequence}
			return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
				if err != nil || !entry.Type().IsRegular() {
					return err
				}
				name, err := filepath.Rel(folder, path)
				if err != nil {
					return err
				}
				return splitFile(path, filepath.ToSlash(name), func(part *pb.FileChunk) error {
					message.Chunk = part
					err := send(message)
					message = &pb.RestoreSessionRequest{}
					return err
				})
			})
		}
		response, err = upload[pb.RestoreSessionRequest, pb.RestoreSessionResponse](stream, messages)
		return err
	})
	return response, err
}

// splitFile gives a file to take in parts, at least one, the first of them with name as its path.
func splitFile(path, name string, take func(part *pb.FileChunk) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	for {
		data := make([]byte, chunkBytes)
		size, err := io.ReadFull(file, data)
		atEnd := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !atEnd {
			return err
		}
		if size > 0 || name != "" {
			if err := take(&pb.FileChunk{Path: name, Data: data[:size]}); err != nil {
				return err
			}
		}
		if atEnd {
			return nil
		}
		name = ""
	}
}
