import fc from "fast-check";
import { expect, it } from "vitest";
import { outgoingRequest } from "../../../core/http-signatures/outgoing-request.ts";
import { parseTarget } from "../../../core/upstream/target-url.ts";
import { outgoingHeaders } from "../../../core/upstream/outgoing-headers.ts";
import { exchange, FakeTarget } from "../../support/harness.ts";

function targetAt(url: string): FakeTarget {
  return Object.assign(new FakeTarget("a"), { url });
}

it("is what the target will see", () => {
  const x = exchange({ method: "PUT", target: "/v1/orders?id=1", init: { scheme: "https" } });
  x.path = "/orders";
  expect(outgoingRequest(x, targetAt("http://10.0.0.1:8081/base/"))).toMatchObject({
    method: "PUT",
    scheme: "http",
    authority: "10.0.0.1:8081",
    path: "/base/orders",
    search: "?id=1",
  });
  expect(outgoingRequest(x, targetAt("https://api.example.com"))).toMatchObject({
    scheme: "https",
    authority: "api.example.com",
    path: "/orders",
  });
  expect(outgoingRequest(x, targetAt("unix:/run/api.sock:/base"))).toMatchObject({
    scheme: "http",
    authority: "localhost",
    path: "/base/orders",
  });
});

it("has the host that is sent, whoever has set it", () => {
  const host = fc.constantFrom("client.example", "stage.example", "other.example");
  fc.assert(
    fc.property(
      fc.constantFrom("client.example", ""),
      fc.array(host, { maxLength: 3 }),
      fc.boolean(),
      (authority, hosts, preserveHost) => {
        const x = exchange({ headers: hosts.flatMap((each) => ["Host", each]), init: { authority } });
        x.route = { ...x.route, preserveHost };
        const target = targetAt("http://target.example:8081");
        const sent = outgoingHeaders(x, parseTarget(target.url).host)[1];
        expect(outgoingRequest(x, target).authority).toBe(sent);
      },
    ),
  );
});
