import { Ajv } from "ajv";
import { describe, expect, it } from "vitest";
import { type LoadedConfig, loadConfigObject } from "../../../core/config/load.ts";
import { publishGatewaySchema } from "../../../core/config/published-schema.ts";
import type { Catalogue } from "../../../core/plugin.ts";
import { fakeCatalogue } from "./fake-plugins.ts";

const respond = [{ plugin: "respond" }];

const load = (
  rateLimits: unknown,
  route: object = {},
  catalogue: Catalogue = fakeCatalogue,
): Promise<LoadedConfig> =>
  loadConfigObject(
    {
      apiVersion: "sluice/v1",
      listeners: [{ address: "127.0.0.1:0" }],
      rateLimits,
      pipelines: { known: { stages: [{ plugin: "who" }, { plugin: "stamp" }] } },
      routes: [{ name: "a", match: {}, pipeline: respond, ...route }],
    },
    { catalogue, env: { RATE: "7/1s", COST: "3" } },
  );

/** Names of the first route's stages, in order. */
const namesOf = ({ config }: LoadedConfig): string[] => config.routes[0]!.stages.map(({ name }) => name);

const optionsOf = ({ config }: LoadedConfig, name: string): unknown =>
  config.routes[0]!.stages.find((stage) => stage.name === name)?.options;

const RATE = { rate: "1/1s" };
const ALL = { perUser: RATE, perIp: RATE, global: RATE };

describe("limits for all routes", () => {
  it("come first, and that of users after the last stage that says who asks", async () => {
    const pipeline = [{ plugin: "who" }, { use: "known", when: { method: "GET" } }, ...respond];
    expect(namesOf(await load(ALL, { pipeline }))).toEqual([
      "global-limit",
      "ip-limit",
      "who",
      "who",
      "user-limit",
      "stamp",
      "respond",
    ]);
  });

  it("come all before the others where nothing says who asks", async () => {
    expect(namesOf(await load(ALL))).toEqual(["global-limit", "ip-limit", "user-limit", "respond"]);
    expect(namesOf(await load({ perUser: RATE }))).toEqual(["user-limit", "respond"]);
    expect(namesOf(await load(undefined))).toEqual(["respond"]);
  });

  it("are shown as stages, in a configuration that comes to the same", async () => {
    const loaded = await load(ALL, { rateLimits: { perIp: { cost: 2 } } });
    const shown = loaded.effective() as { routes: { rateLimits?: unknown; pipeline: unknown[] }[] };
    expect(shown).not.toHaveProperty("rateLimits");
    expect(shown.routes[0]).not.toHaveProperty("rateLimits");
    expect(shown.routes[0]!.pipeline[1]).toMatchObject({
      plugin: "limit",
      name: "ip-limit",
      by: ["global", "ip"],
      rate: "1/1s",
      algorithm: "token-bucket",
      cost: 2,
    });
    const again = await loadConfigObject(shown, { catalogue: fakeCatalogue });
    const optionsOfAll = ({ config }: LoadedConfig): unknown[] =>
      config.routes[0]!.stages.map(({ name, options }) => [name, options]);
    expect(optionsOfAll(again)).toEqual(optionsOfAll(loaded));
  });

  it("take values from outside", async () => {
    const loaded = await load({ global: { rate: "${env:RATE}", cost: "${env:COST}" } });
    expect(optionsOf(loaded, "global-limit")).toMatchObject({ rate: "7/1s", cost: 3 });
    const own = await load(ALL, { rateLimits: { perIp: { cost: "${env:COST}" } } });
    expect(optionsOf(own, "ip-limit")).toMatchObject({ cost: 3 });
  });

  it("cannot be without the plugin that counts", async () => {
    const catalogue = new Map([...fakeCatalogue].filter(([name]) => name !== "limit"));
    await expect(load({ global: RATE }, {}, catalogue)).rejects.toMatchObject({
      diagnostics: [{ code: "CONFIG_UNKNOWN_PLUGIN", pointer: "/rateLimits/global" }],
    });
  });
});

describe("a route", () => {
  const GATEWAY = {
    global: { rate: "9/1s", burst: 20, algorithm: "hybrid", cost: 2 },
    perIp: { rules: [{ rate: "9/1s" }] },
  };

  it("takes limits off", async () => {
    const rateLimits = { global: false, perIp: false, perUser: false };
    expect(namesOf(await load(ALL, { rateLimits }))).toEqual(["respond"]);
  });

  it("counts with all others when it changes anything but how much there is", async () => {
    const loaded = await load(GATEWAY, { rateLimits: { global: { burst: 30, cost: 4 } } });
    expect(optionsOf(loaded, "global-limit")).toMatchObject({
      by: "global",
      rate: "9/1s",
      burst: 30,
      algorithm: "hybrid",
      cost: 4,
    });
  });

  it("counts by itself when it says how much there is, and says that anew", async () => {
    const rateLimits = { global: { rate: "1/1s" }, perIp: { rate: "2/1s" } };
    const loaded = await load(GATEWAY, { rateLimits });
    const global = optionsOf(loaded, "global-limit");
    expect(global).toMatchObject({ by: "route", rate: "1/1s", algorithm: "token-bucket", cost: 2 });
    expect(global).not.toHaveProperty("burst");
    const perIp = optionsOf(loaded, "ip-limit");
    expect(perIp).toMatchObject({ by: "ip", rate: "2/1s", algorithm: "token-bucket", cost: 1 });
    expect(perIp).not.toHaveProperty("rules");
  });

  it("may have a limit that the gateway has not", async () => {
    const loaded = await load(undefined, { rateLimits: { perUser: RATE } });
    expect(optionsOf(loaded, "user-limit")).toMatchObject({ by: "consumer", rate: "1/1s" });
  });

  it("is not told of mistakes of the gateway's", async () => {
    const refused = load({ perIp: { burst: 1 } }, { rateLimits: { perIp: { cost: 2 } } });
    await expect(refused).rejects.toMatchObject({ diagnostics: [{ pointer: "/rateLimits/perIp" }] });
  });
});

describe("the published schema", () => {
  const validate = new Ajv({ strict: false }).compile(publishGatewaySchema(fakeCatalogue));
  const isValid = (rateLimits: unknown, own?: unknown): boolean =>
    validate({
      apiVersion: "sluice/v1",
      listeners: [{ address: "127.0.0.1:0" }],
      rateLimits,
      routes: [
        { name: "a", match: {}, pipeline: respond, ...(own === undefined ? {} : { rateLimits: own }) },
      ],
    });

  it("knows the options of limits for all routes, and what routes make of them", () => {
    expect(isValid(ALL, { global: false, perIp: { cost: 2 } })).toBe(true);
    expect(isValid({ global: { rate: "${env:RATE}" } })).toBe(true);
    for (const wrong of [{}, { rate: "1/1s", by: "ip" }, { rate: "1" }, { burst: 1 }])
      expect(isValid({ global: wrong })).toBe(false);
    for (const wrong of [true, { by: "ip" }, { cost: "much" }])
      expect(isValid(ALL, { global: wrong })).toBe(false);
    expect(isValid({ perRoute: RATE })).toBe(false);
  });
});
