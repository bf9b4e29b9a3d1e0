# client.rb TARGET METHOD REQUEST-HEX: makes the call, which must fail, and prints what Ruby's grpc and google/rpc read of it.
require 'json'
require 'grpc'
require 'google/protobuf/well_known_types'
require 'google/rpc/status_pb'
require 'google/rpc/error_details_pb'

target, method, request = ARGV
same = ->(bytes) { bytes }
stub = GRPC::ClientStub.new(target, :this_channel_is_insecure)
begin
  stub.request_response(method, [request].pack('H*'), same, same, deadline: Time.now + 20)
rescue GRPC::BadStatus => e
  status = e.to_rpc_status
  out = { code: status.code, message: status.message, reason: '', domain: '', metadata: {}, fields: [], violations: [] }
  status.details.each do |detail|
    case detail.type_name
    when 'google.rpc.ErrorInfo'
      info = detail.unpack(Google::Rpc::ErrorInfo)
      out.update(reason: info.reason, domain: info.domain, metadata: info.metadata.to_h)
    when 'google.rpc.BadRequest'
      out[:fields] = detail.unpack(Google::Rpc::BadRequest).field_violations.map { |v| [v.field, v.description] }
    when 'google.rpc.PreconditionFailure'
      out[:violations] = detail.unpack(Google::Rpc::PreconditionFailure).violations
                               .map { |v| [v.type, v.subject, v.description] }
    end
  end
  puts JSON.generate(out)
end
