import { describe, expect, it } from "vitest";
import type { Consumer, Exchange, Problem } from "../../../core/plugin.ts";
import { compileClients } from "../../../plugins/limit/clients.ts";
import { exchange } from "../../support/harness.ts";
import { limitOptions } from "../../support/limits.ts";

function compile(allow: object): (x: Exchange) => boolean {
  const problems: Problem[] = [];
  const isListed = compileClients(limitOptions({ rate: "1/1s", allow }).allow, "/allow", problems);
  if (problems.length > 0) throw new Error(problems.map((p) => `${p.code} ${p.pointer}`).join());
  return isListed!;
}

const from = (clientAddress: string, consumer?: Consumer): Exchange =>
  Object.assign(exchange({ init: { clientAddress } }), { consumer });

describe("a list of clients", () => {
  it("has addresses and networks", () => {
    const isListed = compile({ ips: ["192.0.2.1", "10.0.0.0/8", "2001:db8::/32"] });
    for (const address of ["192.0.2.1", "::ffff:10.1.2.3", "2001:db8:7::1"]) {
      expect([isListed(from(address)), isListed(from(address))]).toEqual([true, true]);
    }
    for (const address of ["192.0.2.2", "2001:db9::1", "nowhere"]) {
      expect([isListed(from(address)), isListed(from(address))]).toEqual([false, false]);
    }
  });

  it("has consumers and their roles", () => {
    const isListed = compile({ consumers: ["mobile"], roles: ["admin"] });
    expect(isListed(from("192.0.2.1", { name: "mobile", roles: [] }))).toBe(true);
    expect(isListed(from("192.0.2.1", { name: "web", roles: ["user", "admin"] }))).toBe(true);
    expect(isListed(from("192.0.2.1", { name: "admin", roles: ["mobile"] }))).toBe(false);
    expect(isListed(from("192.0.2.1"))).toBe(false);
  });

  it("is none without the option", () => {
    expect(compileClients(undefined, "/allow", [])).toBeUndefined();
  });

  it("has somebody in it", () => {
    expect(() => compile({})).toThrow("CONFIG_VALUE /allow");
    expect(() => compile({ ips: [] })).toThrow("CONFIG_VALUE /allow");
  });

  it("refuses what is no address", () => {
    expect(() => compile({ ips: ["10.0.0.0/8", "10.0.0.0/33", "host"] })).toThrow(
      "CONFIG_CIDR /allow/ips/1,CONFIG_CIDR /allow/ips/2",
    );
  });
});
