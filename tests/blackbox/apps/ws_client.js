// ws_client.js URL SECONDS: echoes messages and pings all the while; prints what it saw as JSON.
'use strict';
const WebSocket = require(process.env.WS_MODULE || 'ws');
const [url, seconds] = process.argv.slice(2);
const socket = new WebSocket(url);
const seen = { messages: 0, pings: 0, pongs: 0, wrong: 0, slowest_ms: 0, code: null };
let sent = 0;
let sentAt = 0;

function next() {
  const size = [10, 200, 70000][sent % 3];
  sent++;
  sentAt = Date.now();
  socket.send(`${sent}:`.padEnd(size, 'x'));
}

socket.on('open', () => {
  next();
  const ping = setInterval(() => { seen.pings++; socket.ping(`p${seen.pings}`); }, 500);
  setTimeout(() => { clearInterval(ping); socket.close(1000, 'done'); }, seconds * 1000);
});
socket.on('message', (data) => {
  seen.messages++;
  seen.slowest_ms = Math.max(seen.slowest_ms, Date.now() - sentAt);
  if (!String(data).startsWith(`${sent}:`)) seen.wrong++;
  setTimeout(() => { if (socket.readyState === WebSocket.OPEN) next(); }, 20);
});
socket.on('pong', () => { seen.pongs++; });
socket.on('error', (e) => { seen.error = String(e); });
socket.on('close', (code) => { seen.code = code; console.log(JSON.stringify(seen)); });
