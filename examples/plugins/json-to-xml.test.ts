import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createTestGateway } from "sluice/test";

const gw = await createTestGateway({
  routes: [
    { name: "all", match: {}, pipeline: [{ plugin: "json-to-xml", root: "product" }], upstream: "app" },
  ],
});
after(() => gw.close());

test("gives XML to who asks for it", async () => {
  gw.upstream("app").reply({
    body: { id: 7, tags: ["a<b", 'c & "d"'], "two words": true, none: null, deep: { x: "1\u0001" } },
  });
  const res = await gw.fetch("/", { headers: { accept: "text/html, application/xml" } });
  assert.equal(res.headers.get("content-type"), "application/xml; charset=utf-8");
  assert.equal(res.headers.get("vary"), "Accept");
  assert.equal(
    await res.text(),
    `<?xml version="1.0" encoding="UTF-8"?>
<product><id>7</id><tags>a&lt;b</tags><tags>c &amp; &quot;d&quot;</tags><item name="two words">true</item><none/><deep><x>1</x></deep></product>
`,
  );
  assert.equal(gw.upstream("app").last?.headers["accept"], "application/json");
});

test("gives JSON to others, byte for byte", async () => {
  gw.upstream("app").reply({ headers: { "content-type": "application/json" }, body: '{ "id": 7.0 }' });
  const res = await gw.fetch("/", { headers: { accept: "application/json" } });
  assert.equal(await res.text(), '{ "id": 7.0 }');
  assert.equal(res.headers.get("vary"), "Accept");
});

test("leaves what is not JSON as it is", async () => {
  gw.upstream("app").reply({ headers: { "content-type": "text/csv" }, body: "a,b" });
  const res = await gw.fetch("/", { headers: { accept: "text/xml" } });
  assert.equal(await res.text(), "a,b");
});
