package gradwire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"gradwire"
	"gradwire/pb"
)

// y = x * k, with count elements of k kept at a location.
func scaleModel(t *testing.T, count int64, location string) []byte {
	t.Helper()
	value := func(name string) *pb.ValueInfoProto {
		kind := &pb.TypeProto_Tensor{ElemType: proto.Int32(int32(pb.TensorProto_FLOAT))}
		return &pb.ValueInfoProto{Name: &name, Type: &pb.TypeProto{Value: &pb.TypeProto_TensorType{TensorType: kind}}}
	}
	model, err := proto.Marshal(&pb.ModelProto{
		IrVersion:   proto.Int64(8),
		OpsetImport: []*pb.OperatorSetIdProto{{Version: proto.Int64(18)}},
		Graph: &pb.GraphProto{
			Name: proto.String("scale"),
			Node: []*pb.NodeProto{gradwire.Node("Mul", []string{"x", "k"}, "y")},
			Initializer: []*pb.TensorProto{{
				Name: proto.String("k"), DataType: proto.Int32(int32(pb.TensorProto_FLOAT)), Dims: []int64{count},
				DataLocation: pb.TensorProto_EXTERNAL.Enum(),
				ExternalData: []*pb.StringStringEntryProto{{Key: proto.String("location"), Value: &location}},
			}},
			Input:  []*pb.ValueInfoProto{value("x")},
			Output: []*pb.ValueInfoProto{value("y")},
		},
	})
	must(t, err)
	return model
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o777))
	must(t, os.WriteFile(path, data, 0o666))
}

func TestExternalDataIsSentWithTheModel(t *testing.T) {
	ctx, _, session := open(t)
	const count = 3 << 20 // Six parts of a message's size.
	half := make([]byte, 4)
	binary.LittleEndian.PutUint32(half, math.Float32bits(2.5))
	folder := t.TempDir()
	write(t, filepath.Join(folder, "weights", "k.bin"), bytes.Repeat(half, count))
	model := scaleModel(t, count, "weights/k.bin")
	external, err := gradwire.ExternalFiles(model, folder)
	must(t, err)
	equal(t, len(external), 1)
	info, err := session.LoadProgram(ctx, "scale", model, gradwire.ProgramOptions{External: external})
	must(t, err)
	equal(t, info.GetParameters(), []string{"scale/k"})
	for _, value := range floats(ctx, t, session, "scale/k") {
		if value != 2.5 {
			t.Fatalf("got %v", value)
		}
	}
	_, err = session.LoadProgram(ctx, "other", model, gradwire.ProgramOptions{})
	isError(t, err, gradwire.ErrInvalidModel) // The bytes do not come.
	external["weights/k.bin"] = filepath.Join(folder, "nowhere")
	_, err = session.LoadProgram(ctx, "other", model, gradwire.ProgramOptions{External: external})
	isError(t, err, fs.ErrNotExist)
	programs, err := session.ListPrograms(ctx)
	must(t, err)
	equal(t, len(programs), 1)
}

func TestExternalDataStaysInItsFolder(t *testing.T) {
	folder := t.TempDir()
	write(t, filepath.Join(folder, "secret"), []byte("1234"))
	write(t, filepath.Join(folder, "model", "here"), []byte("1234"))
	must(t, os.Symlink(filepath.Join(folder, "secret"), filepath.Join(folder, "model", "link")))
	inside := filepath.Join(folder, "model")
	found, err := gradwire.ExternalFiles(scaleModel(t, 1, "here"), inside)
	must(t, err)
	equal(t, len(found), 1)
	for _, location := range []string{
		"../secret", "link", "/etc/hostname", "a/../../secret", "C:\\secret", "..\\secret", "", "nowhere", ".",
	} {
		_, err := gradwire.ExternalFiles(scaleModel(t, 1, location), inside)
		isError(t, err, gradwire.ErrInvalidModel)
	}
	_, err = gradwire.ExternalFiles([]byte("no model, but a location"), inside)
	isError(t, err, gradwire.ErrInvalidModel)
	found, err = gradwire.ExternalFiles([]byte("no model"), inside) // The server says so.
	must(t, err)
	equal(t, len(found), 0)
}

func TestASessionIsSavedAndRestored(t *testing.T) {
	ctx, client, session := open(t)
	_, err := session.PutArrays(ctx, false, gradwire.NewArray("big", []int64{2 << 20}, make([]float32, 2<<20)))
	must(t, err)
	putFloats(ctx, t, session, "w", true, 1, 2)
	_, err = session.LoadProgramRequest(ctx, &pb.LoadProgramRequest{Program: "double", Graph: &pb.GraphProto{
		Node:   []*pb.NodeProto{gradwire.Node("Add", []string{"x", "x"}, "y")},
		Input:  []*pb.ValueInfoProto{{Name: proto.String("x")}},
		Output: []*pb.ValueInfoProto{{Name: proto.String("y")}},
	}}, nil, nil)
	must(t, err)

	folder := filepath.Join(t.TempDir(), "made", "for it")
	files, err := session.Save(ctx, folder)
	must(t, err)
	equal(t, files, []string{
		filepath.Join(folder, "tensors.safetensors"), filepath.Join(folder, "programs", "double.onnx"),
	})
	other, err := client.OpenSession(ctx, gradwire.SessionOptions{})
	must(t, err)
	defer other.Close(ctx)
	restored, err := other.Restore(ctx, folder)
	must(t, err)
	equal(t, len(restored.GetTensors()), 2)
	equal(t, restored.GetPrograms()[0].GetProgram(), "double")
	w, err := other.DescribeTensor(ctx, "w")
	must(t, err)
	equal(t, w.GetRequiresGrad(), true)
	equal(t, floats(ctx, t, other, "big"), make([]float32, 2<<20))

	files, err = session.Save(ctx, filepath.Join(folder, "part"), "w")
	must(t, err)
	equal(t, len(files), 2) // Programs have no part.
	_, err = session.Save(ctx, folder, "nowhere")
	isError(t, err, gradwire.ErrTensorNotFound)
	_, err = session.Restore(ctx, filepath.Join(folder, "nowhere"))
	isError(t, err, fs.ErrNotExist)
	blocked := filepath.Join(t.TempDir(), "file")
	write(t, blocked, nil)
	_, err = session.Save(ctx, blocked)
	var failure *fs.PathError
	if !errors.As(err, &failure) {
		t.Fatalf("got %v", err)
	}
}

func TestARequestCanBeSentAgain(t *testing.T) {
	ctx, _, session := open(t)
	putFloats(ctx, t, session, "x", false, 1)
	doubling := forward(gradwire.Node("Add", []string{"x", "x"}, "x"))
	sent := proto.Clone(doubling)
	for i := 0; i < 3; i++ {
		_, err := session.Forward(ctx, doubling)
		must(t, err)
	}
	equal(t, floats(ctx, t, session, "x"), []float32{8})
	if !proto.Equal(doubling, sent) {
		t.Fatalf("the caller's request was changed: %v", doubling)
	}
}

func TestASessionIsTakenUpByItsID(t *testing.T) {
	ctx, client, first := open(t)
	putFloats(ctx, t, first, "x", false, 1)
	second, err := client.OpenSession(ctx, gradwire.SessionOptions{ID: first.ID()})
	must(t, err)
	equal(t, second.ID(), first.ID())
	for _, session := range []*gradwire.Session{first, second} { // The same command, under numbers of their own.
		_, err := session.Forward(ctx, forward(gradwire.Node("Add", []string{"x", "x"}, "x")))
		must(t, err)
	}
	equal(t, floats(ctx, t, second, "x"), []float32{4})
	chosen, err := client.OpenSession(ctx, gradwire.SessionOptions{ID: strings.Repeat("5", 31) + "f", Lease: time.Second})
	must(t, err)
	equal(t, chosen.ID(), strings.Repeat("5", 31)+"f")
	must(t, chosen.Close(ctx))
	_, err = client.OpenSession(ctx, gradwire.SessionOptions{ID: "short"})
	isError(t, err, gradwire.ErrInvalidArgument)
}
