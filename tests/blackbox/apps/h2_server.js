// An HTTP/2 server without TLS (h2c): prints its port. Paths say what it does.
'use strict';
const http2 = require('http2');

const answers = {
    '/hello': (req, res) => res.end('hello from node\n'),
    '/seen': (req, res) => res.end(JSON.stringify(req.headers)),
    '/large': (req, res) => {
        const piece = Buffer.alloc(65536, 'x');
        let left = 320;
        const more = () => {
            while (left-- > 0)
                if (!res.write(piece)) return res.once('drain', more);
            res.end();
        };
        more();
    },
    '/echo': (req, res) => req.pipe(res),
    '/trailers': (req, res) => {
        req.resume();
        req.on('end', () => {
            res.setHeader('trailer', 'x-sum');
            res.write('body');
            res.addTrailers({'x-sum': String(req.trailers['x-asked'])});
            res.end();
        });
    },
    '/early': (req, res) => {
        res.writeEarlyHints({link: '</a.css>; rel=preload'});
        res.end('late');
    },
    '/reset': (req, res) => res.stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR),
};

const server = http2.createServer((req, res) => {
    req.on('error', () => {});
    res.on('error', () => {});
    (answers[req.url.split('?')[0]] || answers['/hello'])(req, res);
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
