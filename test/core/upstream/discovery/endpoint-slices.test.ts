import { describe, expect, it } from "vitest";
import { targetsOf } from "../../../../core/upstream/discovery/endpoint-slices.ts";
import { normalizeTarget } from "../../../../core/upstream/target-url.ts";
import { sourceConfig } from "../../../support/discovery.ts";
import { type SliceParts, slice } from "../../../support/kubernetes-server.ts";

function urls(parts: SliceParts | SliceParts[], kubernetes: object = {}, more: object = {}): string[] {
  const slices = [parts].flat().map((each, i) => slice({ name: `users-${i}`, ...each }));
  const config = sourceConfig({ kubernetes: { service: "users", ...kubernetes }, ...more });
  return targetsOf(slices, config as never).map(({ url }) => normalizeTarget(url));
}

const leaving = { ready: false, serving: true, terminating: true };

describe("targets of EndpointSlices", () => {
  it("are the ready addresses of all slices, with scheme and path as configured", () => {
    const parts = [
      { addresses: ["10.0.0.1", ["10.0.0.2", { ready: false }]] },
      { addresses: ["10.0.0.3"] },
      { addresses: null },
    ] as SliceParts[];
    expect(urls(parts, {}, { scheme: "https", path: "/v1" })).toEqual([
      "https://10.0.0.1:8080/v1",
      "https://10.0.0.3:8080/v1",
    ]);
  });

  it("are ready when nothing is said of it", () => {
    const made = slice({ addresses: ["10.0.0.1"] });
    const unsaid = {
      ...made,
      endpoints: [{ addresses: ["10.0.0.1"], conditions: {} }, { addresses: ["10.0.0.2"] }],
    };
    const config = sourceConfig({ kubernetes: { service: "users" } });
    expect(targetsOf([unsaid], config as never)).toHaveLength(2);
  });

  it("are those that still serve while they terminate, as long as none is ready", () => {
    const gone = { ready: false, serving: false, terminating: true };
    const addresses: SliceParts["addresses"] = [
      ["10.0.0.1", leaving],
      ["10.0.0.2", gone],
    ];
    expect(urls({ addresses })).toEqual(["http://10.0.0.1:8080"]);
    expect(urls([{ addresses }, { addresses: ["10.0.0.3"] }])).toEqual(["http://10.0.0.3:8080"]);
    expect(urls({ addresses: [["10.0.0.2", gone]] })).toEqual([]);
  });

  it("are of one family: IPv4 where the service has both, unless told otherwise", () => {
    const both: SliceParts[] = [
      { type: "IPv6", addresses: ["2001:db8::1"] },
      { type: "IPv4", addresses: ["10.0.0.1"] },
    ];
    expect(urls(both)).toEqual(["http://10.0.0.1:8080"]);
    expect(urls(both, { family: "ipv4" })).toEqual(["http://10.0.0.1:8080"]);
    expect(urls(both, { family: "ipv6" })).toEqual(["http://[2001:db8::1]:8080"]);
    expect(urls(both[0]!)).toEqual(["http://[2001:db8::1]:8080"]);
    expect(urls(both[0]!, { family: "ipv4" })).toEqual([]);
    expect(urls([both[0]!, { type: "IPv4", addresses: [] }])).toEqual(["http://[2001:db8::1]:8080"]);
  });

  const ports = [
    { name: "http", port: 8080 },
    { name: "metrics", port: 9090 },
    { name: "quic", port: 8443, protocol: "UDP" },
  ];

  it("have the port of that name, whatever its number is in a slice", () => {
    const parts = [
      { addresses: ["10.0.0.1"], ports },
      { addresses: ["10.0.0.2"], ports: [{ name: "metrics", port: 9191 }] },
      { addresses: ["10.0.0.3"], ports: [{ name: "other", port: 1 }] },
    ];
    expect(urls(parts, { port: "metrics" })).toEqual(["http://10.0.0.1:9090", "http://10.0.0.2:9191"]);
  });

  it("have the port of that number, or any where the pods list none", () => {
    expect(urls({ addresses: ["10.0.0.1"], ports }, { port: 9090 })).toEqual(["http://10.0.0.1:9090"]);
    expect(urls({ addresses: ["10.0.0.1"], ports: null }, { port: 7 })).toEqual(["http://10.0.0.1:7"]);
    expect(urls({ addresses: ["10.0.0.1"], ports: [{ port: null }] }, { port: 7 })).toEqual([
      "http://10.0.0.1:7",
    ]);
  });

  it("have the only TCP port when none is named", () => {
    expect(urls({ addresses: ["10.0.0.1"], ports: [ports[2]!, ports[0]!] })).toEqual([
      "http://10.0.0.1:8080",
    ]);
  });

  it.each([
    [ports, undefined, "The service users does not have one port: the pods have http (8080), metrics (9090)"],
    [null, undefined, "The service users does not have one port: the pods list none; say which with `port`"],
    [ports, 80, "The pods of the service users have no port 80: the pods have http (8080), metrics (9090)"],
    [ports, "grpc", 'The pods of the service users have no port "grpc"'],
    [ports, 8443, "have no port 8443"],
  ])("cannot be told from the ports %j when %j is asked for", (listed, port, message) => {
    expect(() =>
      urls({ addresses: ["10.0.0.1"], ports: listed }, port === undefined ? {} : { port }),
    ).toThrow(message);
    expect(urls({ addresses: [], ports: listed }, port === undefined ? {} : { port })).toEqual([]);
  });
});
