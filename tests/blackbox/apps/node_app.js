// An application that listens at the port or unix socket that its environment names.
const http = require('http');
const server = http.createServer((request, response) => {
  let got = 0;
  request.on('data', (piece) => { got += piece.length; });
  request.on('end', () => response.end(`pid=${process.pid} url=${request.url} got=${got}`));
});
server.listen(process.env.SOCKET || { port: process.env.PORT, host: '127.0.0.1' });
process.on('SIGTERM', () => { server.close(() => process.exit(0)); server.closeIdleConnections(); });
