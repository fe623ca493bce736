# Fits a line, y = w * x + b, with nothing but the generated stub. Usage: ruby -I STUBS line_fit.rb HOST:PORT

require 'gradwire/v1/gradwire_services_pb'

include Gradwire::V1

def tensor(name, dims, values)
  TensorProto.new(name: name, data_type: TensorProto::DataType::FLOAT, dims: dims, raw_data: values.pack('e*'))
end

def node(op, output, *inputs)
  NodeProto.new(op_type: op, input: inputs, output: [output])
end

server = Gradwire::V1::Gradwire::Stub.new(ARGV[0], :this_channel_is_insecure)
session = server.open_session(OpenSessionRequest.new).session_id
x = (0...32).map { |i| i / 32.0 }
y = x.map { |value| 3 * value + 0.5 }
server.put(PutRequest.new(session_id: session, tensors: [tensor('x', [32], x), tensor('y', [32], y)]))
server.put(PutRequest.new(session_id: session, tensors: [tensor('w', [], [0]), tensor('b', [], [0])], requires_grad: true))

train = RunRequest.new(session_id: session, commands: [
  Command.new(forward: ForwardRequest.new(outputs: ['loss'], nodes: [
    node('Mul', 'wx', 'w', 'x'), node('Add', 'line', 'wx', 'b'), node('Sub', 'error', 'line', 'y'),
    node('Mul', 'square', 'error', 'error'), node('ReduceMean', 'loss', 'square')
  ])),
  Command.new(backward: BackwardRequest.new(roots: ['loss'])),
  Command.new(step: StepRequest.new(adam: Adam.new(lr: 0.1), zero_grad: true))
])
200.times { server.run(train) }

server.fetch(FetchRequest.new(session_id: session, names: %w[w b])).tensors.each do |result|
  puts format('%s %.4f', result.name, result.raw_data.unpack1('e'))
end
server.close_session(CloseSessionRequest.new(session_id: session))
