// A gRPC client in JavaScript: client.js HOST:PORT TASK [CA]. Prints, as JSON, what the task came to.
'use strict';
const fs = require('fs');
const grpc = require('@grpc/grpc-js');
const calls = require('./calls');

const [address, task, ca] = process.argv.slice(2);
const credentials = ca ? grpc.credentials.createSsl(fs.readFileSync(ca)) : grpc.credentials.createInsecure();
const Client = grpc.makeGenericClientConstructor(calls, 'Calls');
const client = new Client(address, credentials);

function within(seconds) {
    return { deadline: Date.now() + seconds * 1000 };
}

// What became of a call with one response: { reply, trailers } or { code, details }.
function one(start) {
    return new Promise((resolve) => {
        let trailers;
        const call = start((error, reply) => {
            const outcome = error ? { code: grpc.status[error.code], details: error.details } : { reply: String(reply) };
            call.on('status', () => resolve({ ...outcome, trailers }));
        });
        call.on('status', (status) => { trailers = status.metadata.getMap(); });
    });
}

function unary(name, request = '', seconds = 20, metadata = new grpc.Metadata()) {
    return one((done) => client[name](Buffer.from(request), metadata, within(seconds), done));
}

// What became of a call with many: { replies, code }.
function many(call) {
    return new Promise((resolve) => {
        const replies = [];
        call.on('data', (reply) => replies.push(String(reply)));
        call.on('error', () => {});
        call.on('status', (status) => resolve({ replies, code: grpc.status[status.code] }));
    });
}

// The server's count is asked for until it is what it should become.
async function until(name, count) {
    const end = Date.now() + 20000;
    let seen;
    do
        seen = (await unary(name)).reply;
    while (seen !== String(count) && Date.now() < end);
    return seen;
}

const tasks = {
    async kinds() {
        const metadata = new grpc.Metadata();
        metadata.set('x-mine', 'here');
        const asked = client.BidiStream(within(20));
        const answered = many(asked);
        asked.write(Buffer.from('a'));
        asked.once('data', () => { // the second question comes after the first answer
            asked.write(Buffer.from('b'));
            asked.end();
        });
        return {
            unary: await unary('Unary', 'a', 20, metadata),
            clientStream: await one((done) => {
                const call = client.ClientStream(within(20), done);
                for (const part of 'abc')
                    call.write(Buffer.from(part));
                call.end();
                return call;
            }),
            serverStream: await many(client.ServerStream(Buffer.from('100'), within(20))),
            bidiStream: await answered,
            fail: await unary('Fail'),
            unknown: await unary('Unknown'),
        };
    },
    async large() {
        const message = 'x'.repeat(2000000);
        return (await unary('Unary', message)).reply === `<${message}>`;
    },
    async crowd() {
        const replies = await Promise.all([...Array(300).keys()].map((n) => unary('Unary', String(n))));
        return replies.filter((r, n) => r.reply === `<${n}>`).length;
    },
    async deadline() {
        const left = Number((await unary('Left', '', 50)).reply);
        const [waits, talks] = await Promise.all([unary('Wait', '', 1), many(client.WaitBidi(within(1)))]);
        return { left, unary: waits.code, bidi: talks.code, cancelled: await until('Cancelled', 2) };
    },
    async cancel() {
        let call;
        const waits = one((done) => { call = client.Wait(Buffer.from(''), within(60), done); return call; });
        const bidi = client.WaitBidi(within(60));
        const talks = many(bidi);
        bidi.write(Buffer.from('a'));
        bidi.once('data', () => bidi.cancel());
        const waiting = await until('Waiting', 2);
        call.cancel();
        return {
            waiting,
            unary: (await waits).code,
            bidi: await talks,
            cancelled: await until('Cancelled', 2),
            after: (await unary('Unary', 'on')).reply,
        };
    },
    async failing() {
        return await unary('Unary', 'a');
    },
};

tasks[task]().then((result) => {
    console.log(JSON.stringify(result));
    client.close();
});
