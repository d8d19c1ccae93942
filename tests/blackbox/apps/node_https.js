// An HTTPS server that sends back what it was sent. Arguments: key, certificate. Prints its port.
const fs = require("fs");
const https = require("https");
const [key, cert] = process.argv.slice(2).map((path) => fs.readFileSync(path));
const server = https.createServer({ key, cert }, (request, response) => request.pipe(response));
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
