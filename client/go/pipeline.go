package gradwire

import (
	"context"
	"errors"
	"io"
	"sync"

	"gradwire/pb"
)

// Pipeline sends commands without waiting; the server runs them in their order. One that fails poisons the names that
// it would have bound: commands that read them fail with ErrDependencyFailed. Several goroutines may send.
type Pipeline struct {
	session *Session
	stream  pb.Gradwire_PipelineClient
	sending sync.Mutex
	sent    bool

	mutex   sync.Mutex // of what follows
	waiting []*Pending
	broken  error
	done    chan struct{}
}

// Pending is a command that was sent.
type Pending struct {
	answered chan struct{}
	result   *pb.CommandResult
	err      error
}

// Wait returns the answer when it is there. When ctx ends first it returns its error; the command goes on.
func (p *Pending) Wait(ctx context.Context) (*pb.CommandResult, error) {
	select {
	case <-p.answered:
		return p.result, p.err
	case <-ctx.Done():
		return nil, fromError(ctx.Err())
	}
}

func (p *Pending) answer(result *pb.CommandResult, err error) {
	p.result, p.err = result, err
	close(p.answered)
}

// Pipeline opens a pipeline, which lives as long as ctx, or until Close.
func (s *Session) Pipeline(ctx context.Context) (*Pipeline, error) {
	stream, err := s.client.stub.Pipeline(s.client.outgoing(ctx, s.id))
	if err != nil {
		return nil, fromError(err)
	}
	p := &Pipeline{session: s, stream: stream, done: make(chan struct{})}
	go p.receive()
	return p, nil
}

// Send sends a command. It blocks only while the server has more than it takes unanswered. What becomes of the command,
// its Pending says.
func (p *Pipeline) Send(command *pb.Command) *Pending {
	pending := &Pending{answered: make(chan struct{})}
	p.sending.Lock()
	defer p.sending.Unlock()
	request := &pb.PipelineRequest{Sequence: p.session.next(), Command: command}
	if !p.sent {
		request.SessionId, p.sent = p.session.id, true
	}
	p.mutex.Lock()
	broken := p.broken
	if broken == nil {
		p.waiting = append(p.waiting, pending)
	}
	p.mutex.Unlock()
	if broken != nil {
		pending.answer(nil, broken)
		return pending
	}
	// Where this fails the receiver sees the end of the stream, and the Pending gets its error.
	_ = p.stream.Send(request)
	return pending
}

// Close waits for all answers, and returns the stream's error. A command's own is in its Pending.
func (p *Pipeline) Close() error {
	p.sending.Lock()
	err := p.stream.CloseSend()
	p.sending.Unlock()
	<-p.done
	if err != nil {
		return fromError(err)
	}
	if p.broken != errEnded {
		return p.broken
	}
	return nil
}

var errEnded = &Error{Code: ErrCancelled.Code, Reason: ErrCancelled.Reason, Message: "the pipeline has ended"}

func (p *Pipeline) receive() {
	defer close(p.done)
	for {
		response, err := p.stream.Recv()
		p.mutex.Lock()
		if err != nil || len(p.waiting) == 0 {
			p.end(err)
			p.mutex.Unlock()
			return
		}
		pending := p.waiting[0]
		p.waiting = p.waiting[1:]
		p.mutex.Unlock()
		if serialized := response.GetError(); serialized != nil {
			pending.answer(nil, fromStatus(serialized))
		} else {
			pending.answer(response.GetResult(), nil)
		}
	}
}

// end gives what is still waiting the stream's error; the mutex is held.
func (p *Pipeline) end(err error) {
	p.broken = errEnded
	if err != nil && !errors.Is(err, io.EOF) {
		p.broken = fromError(err)
	}
	for _, pending := range p.waiting {
		pending.answer(nil, p.broken)
	}
	p.waiting = nil
}
