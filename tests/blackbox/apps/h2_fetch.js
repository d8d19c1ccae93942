// Fetches things over one HTTP/2 connection, all at once. Arguments: origin, authority, count.
const fs = require("fs");
const http2 = require("http2");
const [origin, ca, count] = process.argv.slice(2);
const session = http2.connect(origin, { ca: fs.readFileSync(ca) });
session.on("error", (e) => console.log(String(e)));
let whole = 0, left = Number(count);
for (let i = 0; i < Number(count); i++) {
  const stream = session.request({ ":path": `/image${i}` });
  let text = "";
  stream.setEncoding("utf8");
  stream.on("data", (d) => (text += d));
  stream.on("end", () => {
    whole += text === `/image${i}`.repeat(100);
    if (--left === 0) {
      console.log(`${whole} whole, protocol ${session.alpnProtocol}`);
      session.close();
    }
  });
}
