// A node application: HTTP, server-sent events and a WebSocket echo (with the ws package).
'use strict';
const http = require('http');
const { WebSocketServer } = require(process.env.WS_MODULE || 'ws');

let listener;   // of events

const server = http.createServer((request, response) => {
  const path = request.url.split('?')[0];
  if (path === '/echo') {
    response.writeHead(200, { 'X-Trailers': 'announced', Trailer: 'X-Bytes' });
    let bytes = 0;
    request.on('data', (piece) => { bytes += piece.length; response.write(piece); });
    request.on('end', () => { response.addTrailers({ 'X-Bytes': String(bytes) }); response.end(); });
  } else if (path === '/events') {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    response.write('retry: 1000\n\n');
    listener = response;
  } else if (path === '/events/next') {
    listener.write(`data: ${request.url.split('?')[1]}\n\n`);
    response.writeHead(204);
    response.end();
  } else if (path === '/hints') {
    response.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' });
    response.end('hinted');
  } else if (path === '/fields') {
    response.end(JSON.stringify(request.rawHeaders));
  } else {
    response.writeHead(404);
    response.end('no such page\n');
  }
});

new WebSocketServer({ server, path: '/ws' }).on('connection', (socket) => {
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});

server.keepAliveTimeout = 5000;
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
