// A gRPC server in JavaScript, messages being bytes: server.js [CERTIFICATE KEY]. Prints its port.
//
// /test.Calls/Unary, ClientStream, ServerStream, BidiStream: the four kinds
// /test.Calls/Wait, WaitBidi: until it is cancelled or its deadline has passed
// /test.Calls/Waiting, Cancelled: how many of these have begun to, and were
// /test.Calls/Fail: NOT_FOUND with a message; /test.Calls/Left: the time that is left, in ms
'use strict';
const fs = require('fs');
const grpc = require('@grpc/grpc-js');
const calls = require('./calls');

let waiting = 0;
let cancelled = 0;

function wait(call) {
    waiting++;
    call.on('cancelled', () => cancelled++);
}

const handlers = {
    Unary(call, done) {
        const trailers = new grpc.Metadata();
        trailers.set('x-sum', String(call.request.length));
        trailers.set('x-seen', call.metadata.get('x-mine').join());
        done(null, Buffer.concat([Buffer.from('<'), call.request, Buffer.from('>')]), trailers);
    },
    ClientStream(call, done) {
        const parts = [];
        call.on('data', (part) => parts.push(part));
        call.on('end', () => done(null, Buffer.from(parts.map(String).join('+'))));
    },
    ServerStream(call) {
        for (let i = 0; i < Number(call.request); i++)
            call.write(Buffer.from(String(i)));
        call.end();
    },
    BidiStream(call) {
        call.on('data', (part) => call.write(Buffer.from(String(part).toUpperCase())));
        call.on('end', () => call.end());
    },
    Wait: wait,
    WaitBidi(call) {
        wait(call);
        call.on('error', () => {});
        call.on('data', (part) => call.write(part));
    },
    Waiting: (call, done) => done(null, Buffer.from(String(waiting))),
    Cancelled: (call, done) => done(null, Buffer.from(String(cancelled))),
    Fail: (call, done) => done({ code: grpc.status.NOT_FOUND, details: 'no such thing: ü' }),
    Left: (call, done) => done(null, Buffer.from(String(call.getDeadline() - Date.now()))),
};

const [certificate, key] = process.argv.slice(2).map((name) => fs.readFileSync(name));
const credentials = certificate
    ? grpc.ServerCredentials.createSsl(null, [{ cert_chain: certificate, private_key: key }])
    : grpc.ServerCredentials.createInsecure();
const server = new grpc.Server();
server.addService(calls, handlers);
server.bindAsync('127.0.0.1:0', credentials, (error, port) => {
    if (error)
        throw error;
    console.log(port);
});
