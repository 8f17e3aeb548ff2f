import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { AUDIT_EVENTS, AuditLog } from "../../core/audit.ts";
import { FakeHost, exchange } from "../support/harness.ts";

const CONSUMER = { name: "mobile", roles: ["user"], credential: "k1", claims: { plan: "gold" } };
const COUNTER = "sluice_audit_events_total";

let host: FakeHost;

beforeEach(() => {
  vi.useFakeTimers();
  host = new FakeHost();
});
afterEach(() => vi.useRealTimers());

const open = (config: object = {}) =>
  new AuditLog({ events: [...AUDIT_EVENTS], allowed: false, maxPerSecond: 3, ...config }, host);

const written = (): unknown[] => host.log.lines.map(({ fields }) => fields);

describe("an event", () => {
  it("says who asked, for what and from where, and what was decided", () => {
    const x = exchange({ headers: { authorization: "Bearer secret" }, target: "/orders?key=secret" });
    x.consumer = CONSUMER;
    x.id = "r1";
    open().recorder("authorize", "refused")!.record(x, { reason: "forbidden", method: "apiKey" });
    const [line] = host.log.lines;
    expect(line).toMatchObject({ level: "info", message: "audit" });
    expect(line!.fields).toEqual({
      event: "authorize",
      outcome: "refused",
      reason: "forbidden",
      consumer: "mobile",
      credential: "k1",
      method: "apiKey",
      route: "",
      client: "127.0.0.1",
      requestId: "r1",
    });
  });

  it("may be about somebody else than the exchange's consumer", () => {
    open().recorder("login", "allowed")!.record(exchange(), { consumer: CONSUMER });
    expect(written()).toMatchObject([{ consumer: "mobile", credential: "k1" }]);
  });

  it("is counted, also if it is not written", () => {
    const refused = open({ maxPerSecond: 1 }).recorder("auth", "refused")!;
    for (let i = 0; i < 5; i++) refused.record(exchange());
    expect(host.counts.get(`${COUNTER}{"event":"auth","outcome":"refused"}`)).toBe(5);
  });
});

describe("what is not asked for", () => {
  it("has nobody who takes it", () => {
    const audit = open({ events: ["login", "auth"] });
    expect(audit.recorder("csrf", "refused")).toBeUndefined();
    expect(audit.recorder("auth", "allowed")).toBeUndefined();
    expect(audit.recorder("auth", "refused")).toBeDefined();
    expect(audit.recorder("login", "allowed")).toBeDefined();
  });

  it("includes what is let through unless `allowed` says otherwise", () => {
    const audit = open({ allowed: true });
    expect(audit.recorder("auth", "allowed")).toBeDefined();
    expect(audit.recorder("authorize", "allowed")).toBeDefined();
  });
});

describe("a flood", () => {
  const flood = (audit: AuditLog, count: number): void => {
    const refused = audit.recorder("auth", "refused")!;
    for (let i = 0; i < count; i++) refused.record(exchange());
  };

  it("is cut, and what was left out is told at the end of the second", () => {
    flood(open(), 1000);
    expect(host.log.lines).toHaveLength(3);
    vi.advanceTimersByTime(999);
    expect(host.log.lines).toHaveLength(3);
    vi.advanceTimersByTime(1);
    expect(host.log.lines[3]).toEqual({
      level: "warn",
      fields: { event: "auth", outcome: "refused", omitted: 997 },
      message: "audit events were left out",
    });
  });

  it("has its share of every second, and leaves the others theirs", () => {
    const audit = open();
    flood(audit, 5);
    audit.recorder("login", "allowed")!.record(exchange());
    audit.recorder("auth", "refused")!.record(exchange()); // of another route
    host.clock.advance(1000);
    flood(audit, 4);
    expect(written().filter((fields) => !("omitted" in (fields as object)))).toHaveLength(7);
    expect(written()).toContainEqual(expect.objectContaining({ event: "login", outcome: "allowed" }));
    expect(written()).toContainEqual({ event: "auth", outcome: "refused", omitted: 3 });
  });

  it("is told of when nobody takes events any more", () => {
    const audit = open();
    flood(audit, 5);
    audit.close();
    expect(written().at(-1)).toMatchObject({ omitted: 2 });
    expect(vi.getTimerCount()).toBe(0);
  });
});
