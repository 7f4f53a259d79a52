// Streams 3 MB to URL and back with Node's fetch: node stream.mjs URL. Prints both digests.
import { createHash } from "node:crypto";

const [url] = process.argv.slice(2);
const sent = createHash("sha256");
const received = createHash("sha256");
let left = 48;

const body = new ReadableStream({
  pull(controller) {
    if (left-- === 0) {
      controller.close();
      return;
    }
    const piece = new Uint8Array(64 * 1024).fill(left);
    sent.update(piece);
    controller.enqueue(piece);
  },
});
const answer = await fetch(`${url}/any`, { method: "POST", body, duplex: "half" });
for await (const piece of answer.body) received.update(piece);
console.log(JSON.stringify({ framing: answer.headers.get("x-framing"), sent: sent.digest("hex"), received: received.digest("hex") }));
