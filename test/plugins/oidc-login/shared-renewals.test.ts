import { beforeEach, expect, it } from "vitest";
import { GatewayError, type KeyValueStore } from "../../../core/plugin.ts";
import { MemoryStore } from "../../../core/store/memory.ts";
import type { Renewal } from "../../../plugins/oidc-login/refresher.ts";
import { Seal } from "../../../plugins/oidc-login/seal.ts";
import type { Session } from "../../../plugins/oidc-login/session.ts";
import { SharedRenewals } from "../../../plugins/oidc-login/shared-renewals.ts";
import { FakeClock, FakeLog } from "../../support/harness.ts";

const KEY = "oidc-login of-a-session 1";
const RENEWED: Session = {
  id: "of-a-session",
  startedAt: 1,
  seenAt: 2,
  idToken: "a.b.c",
  endsAt: 9,
  renewAt: 8,
  refreshToken: "planted-refresh-token",
};

let clock: FakeClock;
let store: KeyValueStore;
let log: FakeLog;
/** What gateways have asked the provider. */
let asked: string[];

beforeEach(() => {
  clock = new FakeClock();
  store = new MemoryStore(64 * 1024 ** 2, clock);
  log = new FakeLog();
  asked = [];
});

const seal = (secret = "a secret of at least 32 characters"): Seal => new Seal([secret], "test");
const gateway = (more: Partial<ConstructorParameters<typeof SharedRenewals>[0]> = {}): SharedRenewals =>
  new SharedRenewals({ store, seal: seal(), log, waitMs: 5000, ...more });
const asks =
  (name: string, answer: Renewal | Promise<Renewal> = RENEWED) =>
  async (): Promise<Renewal> => {
    asked.push(name);
    return answer;
  };

it("has one gateway ask, and gives the others what came of it, for those on their way too", async () => {
  const { promise, resolve } = Promise.withResolvers<Renewal>();
  const first = gateway().renew(KEY, asks("first", promise));
  const second = gateway().renew(KEY, asks("second"));
  const other = await gateway().renew("oidc-login of-another 1", asks("other", "over"));
  resolve(RENEWED);
  expect(await Promise.all([first, second])).toEqual([RENEWED, RENEWED]);
  clock.advance(59_000);
  expect(await gateway().renew(KEY, asks("third"))).toEqual(RENEWED);
  expect(await gateway().renew("oidc-login of-another 1", asks("fourth"))).toBe(other);
  expect(asked).toEqual(["first", "other"]);
});

it("keeps what came of it sealed, for this session and those with the secret", async () => {
  await gateway().renew(KEY, asks("first"));
  const kept = (await store.get(KEY))!;
  expect(kept).not.toContain("planted");
  expect(Buffer.from(kept, "base64url").toString("latin1")).not.toContain("planted");
  await store.set("oidc-login of-another 1", kept);
  expect(await gateway({ waitMs: 1 }).renew("oidc-login of-another 1", asks("other"))).toBe("elsewhere");
  const stranger = gateway({ seal: seal("another secret of 32 characters..."), waitMs: 1 });
  expect(await stranger.renew(KEY, asks("stranger"))).toBe("elsewhere");
  expect(asked).toEqual(["first"]);
});

it("leaves the provider alone for some seconds when one gateway could not ask it", async () => {
  expect(await gateway().renew(KEY, asks("first", "unavailable"))).toBe("unavailable");
  expect(await gateway().renew(KEY, asks("second"))).toBe("unavailable");
  clock.advance(5000);
  expect(await gateway().renew(KEY, asks("third"))).toEqual(RENEWED);
  expect(asked).toEqual(["first", "third"]);
});

it("asks in the place of a gateway that has ended, once its claim is over", async () => {
  void gateway().renew(KEY, asks("ended", new Promise(() => {})));
  expect(await gateway({ waitMs: 30 }).renew(KEY, asks("second"))).toBe("elsewhere");
  clock.advance(15_000);
  expect(await gateway().renew(KEY, asks("third"))).toEqual(RENEWED);
  expect(asked).toEqual(["ended", "third"]);
});

it("has each gateway ask by itself while the store is away, and says so once", async () => {
  const away = (): Promise<never> => Promise.reject(new GatewayError("STORE_UNAVAILABLE"));
  const { get, set } = store;
  const one = gateway();
  Object.assign(store, { get: away, set: away });
  expect(await one.renew(KEY, asks("first"))).toEqual(RENEWED);
  expect(await one.renew(KEY, asks("second", "over"))).toBe("over");
  Object.assign(store, { get, set });
  expect(await one.renew(KEY, asks("third"))).toEqual(RENEWED);
  expect(await one.renew(KEY, asks("fourth"))).toEqual(RENEWED);
  expect(asked).toEqual(["first", "second", "third"]);
  expect(log.lines.map(({ level }) => level)).toEqual(["warn", "info"]);
});
