// Node's http2 against a gateway: h2_client.js URL. Prints one JSON object: what each task came to.
'use strict';
const http2 = require('http2');

const session = http2.connect(process.argv[2]);
const results = {};

function ask(fields, body, trailers) {
  return new Promise((resolve, reject) => {
    const stream = session.request(fields, { waitForTrailers: !!trailers });
    const answer = { body: '', trailers: {}, hints: [] };
    stream.setEncoding('utf8');
    stream.on('wantTrailers', () => stream.sendTrailers(trailers));
    stream.on('headers', (head) => answer.hints.push(head[':status']));
    stream.on('response', (head) => { answer.head = head; });
    stream.on('data', (piece) => { answer.body += piece; });
    stream.on('trailers', (t) => { answer.trailers = t; });
    stream.on('error', reject);
    stream.on('end', () => resolve(answer));
    stream.end(body);
  });
}

async function main() {
  const many = await Promise.all([...Array(200).keys()].map((n) =>
    ask({ ':method': 'POST', ':path': '/echo' }, `body ${n}`)));
  results.many = many.filter((a, n) => a.head[':status'] === 200 && a.body === `body ${n}`).length;

  const large = 'x'.repeat(3_000_000);
  results.large = (await ask({ ':method': 'POST', ':path': '/echo' }, large)).body === large;

  results.trailers = (await ask({ ':method': 'POST', ':path': '/echo' }, 'abc')).trailers['x-bytes'];
  results.hints = (await ask({ ':path': '/hints' })).hints;
  results.missing = (await ask({ ':path': '/none' })).head[':status'];
  results.fields = JSON.parse((await ask({ ':path': '/fields', 'X-Mixed-Case': 'a' })).body);

  results.cancelled = await new Promise((resolve) => {
    const stream = session.request({ ':path': '/events' });
    stream.on('data', () => stream.close(http2.constants.NGHTTP2_CANCEL));
    stream.on('close', () => resolve(stream.rstCode));
  });
  results.ping = await new Promise((resolve) => session.ping((error) => resolve(!error)));
  session.close();
  console.log(JSON.stringify(results));
}

session.on('error', (e) => { console.log(JSON.stringify({ error: String(e) })); process.exit(1); });
main().catch((e) => { console.log(JSON.stringify({ error: String(e) })); process.exit(1); });
