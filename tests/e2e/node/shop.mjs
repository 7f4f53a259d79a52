// A customer with Node's fetch: node shop.mjs URL SKU. Prints what was seen as one JSON object.
const [url, sku] = process.argv.slice(2);
const cookies = new Map();

async function ask(path, options = {}) {
  const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
  const answer = await fetch(url + path, {
    redirect: "manual",
    ...options,
    headers: { cookie, ...options.headers },
  });
  for (const line of answer.headers.getSetCookie?.() ?? [answer.headers.get("set-cookie")].filter(Boolean)) {
    for (const [, name, value] of line.matchAll(/(?:^|, )(sid|user)=([^;]*)/g)) cookies.set(name, value);
  }
  return answer;
}

const json = (value) => ({ method: "POST", body: JSON.stringify(value), headers: { "content-type": "application/json" } });
const seen = {};

const home = await ask("/");
seen.home = [home.status, home.headers.get("content-type")];
await home.text();
const redirected = await ask(`/p/${sku.toLowerCase()}`, { redirect: "follow" });
seen.redirected = new URL(redirected.url).pathname;
await redirected.text();

const page = await (await ask("/login")).text();
const csrf = page.match(/name="csrf" value="([0-9a-f]+)"/)[1];
const form = new URLSearchParams({ csrf, email: "user15@shop.example", password: "correct horse u-15" });
const login = await ask("/login", { method: "POST", body: form });
seen.login = [login.status, login.headers.get("location")];

seen.cart = (await ask("/api/cart/items", json({ sku, quantity: 2 }))).status;
const order = await ask("/api/orders", json({}));
seen.order = order.status;
seen.bought = (await order.json()).items[0].quantity;

const review = new FormData();
review.set("rating", "5");
review.set("photo", new Blob([new Uint8Array(100_000)]), "photo.jpg");
const reviewed = await ask(`/api/products/${sku}/reviews`, { method: "POST", body: review });
seen.review = [reviewed.status, (await reviewed.json()).photo_bytes];

seen.gzip = (await (await ask("/api/products?per_page=100")).json()).products.length;
const head = await ask(`/api/products/${sku}`, { method: "HEAD" });
seen.head = [head.status, (await head.arrayBuffer()).byteLength];
seen.missing = (await ask("/api/products/NO-1")).status;
const image = await ask(`/images/${sku}.png`);
await image.arrayBuffer();
seen.etag = (await ask(`/images/${sku}.png`, { headers: { "if-none-match": image.headers.get("etag") } })).status;

const account = await (await ask("/account")).text();
const token = account.match(/name="csrf" value="([0-9a-f]+)"/)[1];
seen.logout = (await ask("/logout", { method: "POST", body: new URLSearchParams({ csrf: token }) })).status;
console.log(JSON.stringify(seen));
