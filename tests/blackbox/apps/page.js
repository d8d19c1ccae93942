// page.js BASE TOKEN: the admin server's live page on the least of a document; prints what it shows.
const vm = require("vm");
const [base, token] = process.argv.slice(2);

class Element {
  constructor(tag) {
    Object.assign(this, {tag, children: [], textContent: "", className: "", hidden: false, value: ""});
  }
  append(...children) { this.children.push(...children); }
  addEventListener(name, f) { this["on" + name] = f; }
  part(tag) { const e = new Element(tag); this.children.push(e); return e; }
  createTHead() { return this.part("thead"); }
  createTBody() { return this.part("tbody"); }
  insertRow() { return this.part("tr"); }
  replaceWith(other) { byId[other.id] = other; }
  text() {
    const separator = this.tag === "tr" ? " | " : "\n";
    return this.textContent + this.children.map(c => typeof c === "string" ? c : c.text()).join(separator);
  }
}

const byId = {};
for (const id of ["about", "trouble", "ask", "token", "pools"]) byId[id] = new Element(id);
for (const id in byId) byId[id].id = id;

(async () => {
  const page = await (await fetch(base + "/")).text();
  const script = /<script>(.*)<\/script>/s.exec(page)[1];
  vm.runInNewContext(script, {
    document: {getElementById: id => byId[id], createElement: tag => new Element(tag)},
    fetch: (path, options) => fetch(base + path, options),
    setTimeout: () => 0, performance, Map, Promise, Error,
  });
  while (!byId.trouble.textContent) await new Promise(setImmediate);
  console.log(byId.trouble.textContent + (byId.ask.hidden ? "" : ", and asks for it"));
  byId.token.value = token;
  byId.ask.onsubmit({preventDefault() {}});
  while (!byId.pools.children.length) await new Promise(setImmediate);
  console.log(byId.about.textContent + "\n" + byId.pools.text());
  process.exit(0);
})();
