// Command scenario runs tests/clients/scenario.json with the Go client. Usage: scenario HOST:PORT SCENARIO
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"gradwire"
	"gradwire/pb"
)

const timeout = 5 * time.Minute

type fill struct {
	Multiplier, Modulus, Shift int64
	Divisor                    float32
}

type source struct {
	Name  string
	Dtype string
	Dims  []int64
	File  string
	Fill  fill
}

type step struct {
	Put          []source
	RequiresGrad bool `json:"requires_grad"`
	Run          json.RawMessage
	Times        int
	Print        []string
	Fails        json.RawMessage
	Names        *string
	Sum          string
}

type scenario struct {
	Seed  int64
	Steps []step
}

func (s source) array(folder string) (gradwire.Array, error) {
	kind := pb.TensorProto_DataType(pb.TensorProto_DataType_value[s.Dtype])
	if s.File != "" {
		data, err := os.ReadFile(filepath.Join(folder, s.File))
		return gradwire.Array{Name: s.Name, Type: kind, Dims: s.Dims, Data: data}, err
	}
	if kind != pb.TensorProto_FLOAT {
		return gradwire.Array{}, fmt.Errorf("no formula fills arrays of %s", s.Dtype)
	}
	count := int64(1)
	for _, dim := range s.Dims {
		count *= dim
	}
	values := make([]float32, count)
	for i := range values {
		values[i] = float32(int64(i)*s.Fill.Multiplier%s.Fill.Modulus-s.Fill.Shift) / s.Fill.Divisor
	}
	return gradwire.NewArray(s.Name, s.Dims, values), nil
}

func put(ctx context.Context, session *gradwire.Session, s step, folder string) error {
	var arrays []gradwire.Array
	for _, source := range s.Put {
		array, err := source.array(folder)
		if err != nil {
			return err
		}
		arrays = append(arrays, array)
	}
	_, err := session.PutArrays(ctx, s.RequiresGrad, arrays...)
	return err
}

func run(ctx context.Context, session *gradwire.Session, message []byte) error {
	request := &pb.RunRequest{}
	if err := protojson.Unmarshal(message, request); err != nil {
		return err
	}
	_, err := session.RunRequest(ctx, request)
	return err
}

func mustFail(ctx context.Context, session *gradwire.Session, message []byte) error {
	err := run(ctx, session, message)
	var failure *gradwire.Error
	if !errors.As(err, &failure) {
		return fmt.Errorf("a request that must fail did not: %v", err)
	}
	fmt.Printf("%d %s", failure.Code, failure.Reason)
	var keys []string
	for key := range failure.Metadata {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for _, key := range keys {
		fmt.Printf(" %s=%s", key, failure.Metadata[key])
	}
	fmt.Printf(" | %s\n", failure.Message)
	return nil
}

func printArrays(ctx context.Context, session *gradwire.Session, names []string) error {
	arrays, err := session.FetchArrays(ctx, names...)
	if err != nil {
		return err
	}
	for _, array := range arrays {
		values, err := gradwire.Values[float32](array)
		if err != nil {
			return err
		}
		for i, value := range values {
			fmt.Printf("%s[%d] %.8e\n", array.Name, i, value)
		}
	}
	return nil
}

func printSum(ctx context.Context, session *gradwire.Session, name string) error {
	arrays, err := session.FetchArrays(ctx, name)
	if err != nil {
		return err
	}
	sum := uint64(0)
	for data := arrays[0].Data; len(data) > 0; data = data[4:] {
		sum += uint64(binary.LittleEndian.Uint32(data))
	}
	fmt.Printf("sum %s %d\n", name, sum)
	return nil
}

func printNames(ctx context.Context, session *gradwire.Session, prefix string) error {
	tensors, err := session.ListTensors(ctx, prefix)
	fmt.Printf("names %s*:", prefix)
	for _, tensor := range tensors {
		fmt.Printf(" %s", tensor.GetName())
	}
	fmt.Println()
	return err
}

func execute(ctx context.Context, session *gradwire.Session, s step, folder string) error {
	switch {
	case s.Put != nil:
		return put(ctx, session, s, folder)
	case s.Run != nil:
		for i := 0; i == 0 || i < s.Times; i++ {
			if err := run(ctx, session, s.Run); err != nil {
				return err
			}
		}
		return nil
	case s.Print != nil:
		return printArrays(ctx, session, s.Print)
	case s.Fails != nil:
		return mustFail(ctx, session, s.Fails)
	case s.Names != nil:
		return printNames(ctx, session, *s.Names)
	case s.Sum != "":
		return printSum(ctx, session, s.Sum)
	}
	return errors.New("no such step")
}

func perform(target, path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var plan scenario
	if err := json.Unmarshal(text, &plan); err != nil {
		return err
	}
	client, err := gradwire.Dial(target)
	if err != nil {
		return err
	}
	defer client.Close()
	session, err := client.OpenSession(ctx, gradwire.SessionOptions{Seed: &plan.Seed})
	if err != nil {
		return err
	}
	for _, s := range plan.Steps {
		if err := execute(ctx, session, s, filepath.Dir(path)); err != nil {
			return err
		}
	}
	return session.Close(ctx)
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: scenario HOST:PORT SCENARIO")
		os.Exit(2)
	}
	if err := perform(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
