// The methods of the service, made by hand: messages are bytes as they are.
'use strict';

const asIs = (bytes) => bytes;

function method(name, requestStream, responseStream) {
    return {
        path: `/test.Calls/${name}`, requestStream, responseStream,
        requestSerialize: asIs, requestDeserialize: asIs, responseSerialize: asIs, responseDeserialize: asIs,
    };
}

module.exports = {
    ClientStream: method('ClientStream', true, false),
    ServerStream: method('ServerStream', false, true),
    BidiStream: method('BidiStream', true, true),
    WaitBidi: method('WaitBidi', true, true),
};
for (const name of ['Unary', 'Wait', 'Waiting', 'Cancelled', 'Fail', 'Left', 'Unknown'])
    module.exports[name] = method(name, false, false);
