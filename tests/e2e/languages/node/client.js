// client.js TARGET METHOD REQUEST-HEX: makes the call, which must fail, and prints what @grpc/grpc-js and google-gax read of it.
'use strict';

const grpc = require('@grpc/grpc-js');
const {GoogleError} = require('google-gax');

const [target, method, request] = process.argv.slice(2);
const client = new grpc.Client(target, grpc.credentials.createInsecure());
const asIs = bytes => bytes;
client.makeUnaryRequest(method, asIs, asIs, Buffer.from(request, 'hex'), error => {
  const read = GoogleError.parseGRPCStatusDetails(error);
  const of = (key, part) => read.statusDetails.filter(detail => detail[key]).flatMap(detail => detail[key].map(part));
  console.log(JSON.stringify({
    code: error.code,
    message: error.details,
    reason: read.reason,
    domain: read.domain,
    metadata: read.errorInfoMetadata,
    fields: of('fieldViolations', one => [one.field, one.description]),
    violations: of('violations', one => [one.type, one.subject, one.description]),
  }));
});
