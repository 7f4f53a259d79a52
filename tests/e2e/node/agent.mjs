// Twenty requests, one after the other, with a keep-alive agent: node agent.mjs URL SKU. Counts the connections.
import http from "node:http";

const [url, sku] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const sockets = new Set();
const statuses = [];

for (let i = 0; i < 20; i++) {
  const path = ["/", `/api/products/${sku}`, `/images/${sku}.png`, "/api/products?per_page=100"][i % 4];
  await new Promise((resolve, reject) => {
    const request = http.get(url + path, { agent, headers: { "accept-encoding": "gzip" } }, (answer) => {
      statuses.push(answer.statusCode);
      answer.on("end", resolve).on("error", reject).resume();
    });
    request.on("socket", (socket) => sockets.add(socket)).on("error", reject);
  });
}
agent.destroy();
console.log(JSON.stringify({ statuses, connections: sockets.size }));
